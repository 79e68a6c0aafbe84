"""Models from the Hub, asked of a local server that speaks its endpoints."""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from moesize.errors import InputError
from moesize.model.hub import parse_reference

_spec = importlib.util.spec_from_file_location("moesize_tests_hub_server", Path(__file__).parent / "hub_server.py")
hub_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hub_server)
COMMIT = hub_server.COMMIT

CONFIG = {
    "model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_local_experts": 4, "num_experts_per_tok": 2, "vocab_size": 128, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "torch_dtype": "bfloat16", "architectures": ["MixtralForCausalLM"],
}  # fmt: skip
ASK = """
import json, sys
from moesize.errors import MoesizeError
from moesize.model.loader import load_model
options = json.loads(sys.argv[1])
answers = []
for reference in sys.argv[2:]:
    try:
        spec = load_model(reference, **options)
    except MoesizeError as error:
        answers.append({"error": str(error), "kind": type(error).__name__})
    else:
        answers.append({"total": spec.params.total, "bytes": spec.stored_bytes, "notes": spec.notes, "source": spec.source,
                        "name": spec.name, "quant": spec.quantization_config, "hint": spec.quant_hint})
print(json.dumps(answers))
"""
ADD = """
import sys, datetime
from pathlib import Path
from moesize.errors import MoesizeError
from moesize.model.adding import add_model
try:
    print(add_model(sys.argv[1], Path(sys.argv[2]), today=datetime.date(2026, 1, 2)))
except MoesizeError as error:
    print(f"error: {error}")
"""


def shard(names: dict[str, tuple[int, ...]], dtype: str = "BF16", size: int = 2, pad: int = 0) -> bytes:
    header, at = {}, 0
    for name, shape in names.items():
        n = size
        for side in shape:
            n *= side
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode() + b" " * pad
    return struct.pack("<Q", len(text)) + text + bytes(at)


def names() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (128, 64), "lm_head.weight": (128, 64), "model.norm.weight": (64,),
    }  # fmt: skip
    for i in range(2):
        layer = f"model.layers.{i}"
        found |= {f"{layer}.input_layernorm.weight": (64,), f"{layer}.post_attention_layernorm.weight": (64,)}
        found |= {f"{layer}.self_attn.{p}_proj.weight": (64 if p in "qo" else 32, 64) for p in "qkvo"}
        found[f"{layer}.block_sparse_moe.gate.weight"] = (4, 64)
        for e in range(4):
            for w, shape in (("w1", (96, 64)), ("w2", (64, 96)), ("w3", (96, 64))):
                found[f"{layer}.block_sparse_moe.experts.{e}.{w}.weight"] = shape
    return found


TOTAL = sum(s[0] * (s[1] if len(s) > 1 else 1) for s in names().values())


def repository(shards: int = 1, **config: object) -> dict[str, bytes]:
    files = {"config.json": json.dumps(CONFIG | config).encode()}
    listed = list(names().items())
    if shards == 1:
        files["model.safetensors"] = shard(dict(listed))
        return files
    weight_map = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        files[file] = shard(dict(listed[i::shards]))
        weight_map |= dict.fromkeys(dict(listed[i::shards]), file)
    files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
    return files


@pytest.fixture
def hub():
    with hub_server.serving() as server:
        server.files["org/model"] = repository()
        yield server


class Asker:
    def __init__(self, url: str, home: Path) -> None:
        self.home = home
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))} | {
            "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*",
        }  # fmt: skip

    def __call__(self, reference: str, *, env: dict[str, str] | None = None, **options: object) -> dict[str, Any]:
        return self.many(reference, env=env, **options)[0]

    def many(self, *references: str, env: dict[str, str] | None = None, **options: object) -> list[dict[str, Any]]:
        """One process for all: importing huggingface_hub is most of the time a test takes."""
        done = subprocess.run(
            [sys.executable, "-c", ASK, json.dumps(options), *references], capture_output=True, text=True, timeout=60,
            env=self.env | (env or {}), check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        assert not any("\n" in answer.get("error", "") for answer in answers)
        return answers

    def add(self, reference: str, folder: Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", ADD, reference, str(folder)],
            capture_output=True,
            text=True,
            env=self.env,
            check=True,
        )
        return done.stdout.strip()

    def cached(self) -> list[str]:
        files = (p for p in self.home.rglob("*") if p.is_file() and ".locks" not in p.parts)
        return sorted(p.name for p in files if "models--" in str(p))


@pytest.fixture
def ask(hub, tmp_path: Path) -> Asker:
    return Asker(hub.url, tmp_path / "hf")


def test_a_model_is_read_by_its_headers_alone(hub, ask: Asker) -> None:
    hub.files["org/model"]["model.safetensors"] = shard(names() | {"model.extra.weight": (40_000_000,)})
    found = ask("org/model")
    assert found["total"] == TOTAL + 40_000_000
    assert found["bytes"] == 2 * found["total"]
    assert found["source"] == f"org/model@{COMMIT}"
    assert hub.sent < 400_000
    assert [r for _, path, r in hub.requests if "safetensors" in path and "index" not in path] == ["bytes=0-131071"]


def test_shards_are_those_the_index_names(hub, ask: Asker) -> None:
    hub.files["org/model"] = repository(shards=5)
    hub.files["org/model"]["consolidated.safetensors"] = b"not asked for"
    found = ask("org/model")
    assert (found["total"], found["bytes"], found["notes"]) == (TOTAL, 2 * TOTAL, [])
    assert not any("consolidated" in path for path in hub.paths())


def test_a_header_longer_than_the_first_request_is_completed(hub, ask: Asker) -> None:
    hub.files["org/model"]["model.safetensors"] = shard(names(), pad=300_000)
    assert ask("org/model")["bytes"] == 2 * TOTAL
    ranges = [r for _, path, r in hub.requests if path.endswith("model.safetensors")]
    assert len(ranges) == 2
    assert ranges[1].startswith("bytes=131072-")


def test_a_redirect_to_another_host_is_followed_without_the_token(hub, ask: Asker) -> None:
    hub.faults["model.safetensors"] = "redirect"
    found = ask("org/model", env={"HF_TOKEN": "hf_secret"})
    assert found["bytes"] == 2 * TOTAL
    assert ("Bearer hf_secret") in [token for host, token in hub.tokens if host.startswith("127.")]
    assert {token for host, token in hub.tokens if host.startswith("localhost")} == {None}


def test_a_revision_is_asked_for_and_shown(hub, ask: Asker) -> None:
    found = ask(f"org/model@{COMMIT}")
    assert found["source"] == f"org/model@{COMMIT}"
    assert all(f"/resolve/{COMMIT}/" in path for path in hub.paths() if "safetensors" in path)


def test_offline_the_cache_answers_and_nobody_is_asked(hub, ask: Asker) -> None:
    assert ask("org/model", offline=True)["error"] == "org/model is not cached here, and offline nobody is asked for it"
    assert ask("org/model")["total"] == TOTAL
    hub.requests.clear()
    for env, options in (({}, {"offline": True}), ({"HF_HUB_OFFLINE": "1"}, {})):
        found = ask("org/model", env=env, **options)
        assert found["total"] == TOTAL
        assert "sizes are those of its configuration" in found["notes"][0]
    assert hub.requests == []


def test_offline_a_name_the_catalogue_knows_stands_in_and_says_so(ask: Asker) -> None:
    found = ask("TheBloke/Mixtral-8x7B-v0.1-GPTQ", offline=True)
    assert (found["total"], found["hint"]) == (46702792704, "gptq-4bit")
    assert "mixtral-8x7b of the catalogue stands in for TheBloke/Mixtral-8x7B-v0.1-GPTQ" in found["notes"][-1]


def test_quantisation_beside_the_configuration_is_found(hub, ask: Asker) -> None:
    listed = {n: (s if len(s) < 2 or "experts" not in n else (s[0], s[1] // 2)) for n, s in names().items()}
    hub.files["org/model"]["model.safetensors"] = shard(listed, "U8", 1)
    hub.files["org/model"]["hf_quant_config.json"] = b'{"quantization": {"quant_algo": "NVFP4"}}'
    found = ask("org/model")
    assert found["quant"] == {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    assert found["total"] == TOTAL


FAULTS = [
    ("config.json", "gated", "{name} is gated: ask for access at https://huggingface.co/{name}, then log in"),
    ("config.json", "truncated", "{name}: config.json was cut off"),
    ("config.json", "slow", "{name}: config.json: the server did not answer within 1 s"),
    ("config.json", "endless", "{name}: config.json has more than 5242880 bytes"),
    ("config.json", "500", "{name}: config.json: the server answered 500"),
    ("config.json", "403", "access is forbidden"),
    ("config.json", "429", "rate limit"),
    ("config.json", "loop", "redirects in circles"),
    ("model.safetensors", "truncated", "model.safetensors was cut off"),
    ("model.safetensors", "slow", "model.safetensors: the server did not answer within 1 s"),
    ("model.safetensors", "503", "the server answered 503"),
    ("model.safetensors", "gated", "{name} is gated"),
]


def test_every_fault_is_one_sentence_and_leaves_nothing_half_written(hub, ask: Asker) -> None:
    for i, (file, fault, _) in enumerate(FAULTS):
        hub.files[f"org/faulty-{i}"] = repository()
        hub.faults[f"org/faulty-{i}/{file}"] = fault
    begin = time.monotonic()
    answers = ask.many(*(f"org/faulty-{i}" for i in range(len(FAULTS))))
    assert time.monotonic() - begin < 15
    for i, (_, fault, message) in enumerate(FAULTS):
        assert message.format(name=f"org/faulty-{i}") in answers[i]["error"], fault
        assert answers[i]["kind"] in ("HubError", "HubUnreachableError", "TooLargeError")
    assert not [name for name in ask.cached() if "incomplete" in name]
    with_config = {f"models--org--faulty-{i}" for i, fault in enumerate(FAULTS) if fault[0] != "config.json"}
    assert {path.name for path in (ask.home / "hub").glob("models--*")} == with_config


def test_what_is_not_there_is_said_to_be_so(hub, ask: Asker) -> None:
    hub.files["org/empty"] = {"README.md": b""}
    absent, revision, empty = ask.many("org/absent", "org/model@nowhere", "org/empty")
    assert "there is no model org/absent on the Hub, or it is private" in absent["error"]
    assert "org/model@nowhere has no such revision" in revision["error"]
    assert "org/empty has no config.json: if it holds .gguf files" in empty["error"]
    assert ask.cached() == []


LIES = [
    (struct.pack("<Q", 2**40), "the format allows 100 MB"),
    (struct.pack("<Q", 90_000_000) + b"{", "is cut off"),
    (struct.pack("<Q", 20) + b"<html>no model</html>", "not the JSON"),
    (b"abc", "has 3 bytes"),
]


def test_a_lying_header_is_refused_before_it_is_fetched(hub, ask: Asker) -> None:
    for i, (first, _) in enumerate(LIES):
        data = first + (bytes(300_000) if len(first) > 8 else b"")
        hub.files[f"org/liar-{i}"] = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": data}
    for answer, (_, message) in zip(ask.many(*(f"org/liar-{i}" for i in range(len(LIES)))), LIES, strict=True):
        assert "model.safetensors" in answer["error"]
        assert message in answer["error"]
    assert hub.sent < 2_000_000


def test_a_server_without_ranges_is_not_made_to_send_weights(hub, ask: Asker) -> None:
    hub.files["org/model"]["model.safetensors"] = shard(names() | {"model.extra.weight": (20_000_000,)})
    hub.faults["model.safetensors"] = "no range"
    assert ask("org/model")["total"] == TOTAL + 20_000_000
    assert hub.sent < 20_000_000


def test_an_unknown_kind_costs_one_small_file(hub, ask: Asker) -> None:
    hub.files["org/model"]["config.json"] = json.dumps(CONFIG | {"model_type": "mixtrax"}).encode()
    assert "unknown model_type 'mixtrax'; did you mean" in ask("org/model")["error"]
    assert not any("safetensors" in path for path in hub.paths())
    assert ask("org/model", family="mixtral")["total"] == TOTAL


def test_nobody_listening_is_said_plainly(ask: Asker) -> None:
    found = ask("org/model", env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert "org/model: config.json cannot be reached" in found["error"]
    assert found["kind"] == "HubUnreachableError"


def test_adding_writes_the_architecture_with_its_provenance(hub, ask: Asker, tmp_path: Path) -> None:
    path = Path(ask.add("org/model", tmp_path / "specs"))
    document = yaml.safe_load(path.read_text())
    assert path.name == "model.yaml"
    assert document["revision"] == COMMIT
    assert document["config_source"] == f"https://huggingface.co/org/model/blob/{COMMIT}/config.json"
    assert document["hub_ids"] == ["org/model"]
    assert str(document["as_of"]) == "2026-01-02"
    assert document["published"] == [{"what": "stored", "value": TOTAL, "source": "https://huggingface.co/org/model"}]
    assert "rms_norm_eps" not in document["config"]
    assert ask(str(path))["total"] == TOTAL
    assert "is there already" in ask.add("org/model", tmp_path / "specs")
    assert "already in the catalogue, as mixtral-8x7b" in ask.add("mistralai/Mixtral-8x7B-v0.1", tmp_path / "specs")


def test_adding_leaves_nothing_when_it_fails(hub, ask: Asker, tmp_path: Path) -> None:
    hub.faults["model.safetensors"] = "truncated"
    assert ask.add("org/model", tmp_path / "specs").startswith("error: ")
    assert not list((tmp_path / "specs").glob("*")) if (tmp_path / "specs").exists() else True


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("org/model", ("org/model", "main")),
        ("org/model@v1.0", ("org/model", "v1.0")),
        ("org/model@refs/pr/3", ("org/model", "refs/pr/3")),
        ("https://huggingface.co/org/model", ("org/model", "main")),
        ("https://huggingface.co/org/model/tree/dev", ("org/model", "dev")),
        ("hf.co/org/model", None),
        ("org", None),
        ("a/b/c", None),
        ("../b", None),
        ("org/mo del", None),
        ("org/model@$(rm)", None),
        ("http://169.254.169.254/x/y", None),
    ],
)
def test_references(text: str, reference: tuple[str, str] | None) -> None:
    if reference is None:
        with pytest.raises(InputError, match="is no model on the Hub"):
            parse_reference(text)
    else:
        assert parse_reference(text) == reference
