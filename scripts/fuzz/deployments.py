"""Surfaces of the gate: manifests of every format, policies, baselines, locked specs."""

import json
from random import Random
from typing import Any

import yaml

from scripts.fuzz import seeds
from scripts.fuzz.case import Case
from scripts.fuzz.mutate import HOSTILE_TEXT, damaged, json_bytes, mutated, yaml_bytes, yaml_text

FORMATS = ("text", "json", "github", "sarif", "junit", "markdown")
SERVER = b"""apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec:
  template:
    spec:
      nodeSelector: {nvidia.com/gpu.product: NVIDIA-A10G}
      containers:
        - name: engine  # moesize: ignore[wasteful] small
          image: vllm/vllm-openai:v0.10.2
          args: [--model=Our-Org/Model, --max-model-len=512]
          resources: {limits: {nvidia.com/gpu: "1"}}
"""


def _gate(rng: Random, *more: str) -> tuple[str, ...]:
    options = [*more, "--allow-empty"]
    if rng.random() < 0.2:
        options.append("--include-disabled")
    if rng.random() < 0.2:
        options += ["--fail-on", rng.choice(("warning", "undecided", "note", "never"))]
    return ("gate", ".", "--format", rng.choice(FORMATS), *options)


def manifest(rng: Random, index: int) -> Case:
    """A tree of a format's manifests, one file of it changed as a structure, as text or as bytes."""
    formats = list(seeds.manifests())
    trees = seeds.manifests()[formats[index % len(formats)]]
    files = dict(rng.choice(trees))
    name = rng.choice(list(files))
    if name.endswith((".yaml", ".yml", ".json")) and rng.random() < 0.7:
        files[name] = _restructured(rng, files[name])
    elif rng.random() < 0.6:
        files[name] = yaml_text(rng, _with_pieces(rng, files[name].decode()))
    else:
        files[name] = damaged(rng, files[name])
    links = {"away.yaml": "../outside/secret.yaml", ".env": "../outside/secret.env"} if rng.random() < 0.1 else {}
    return Case(_gate(rng), files, links={path: to for path, to in links.items() if path not in files})


def _restructured(rng: Random, data: bytes) -> bytes:
    try:
        documents = [one for one in yaml.safe_load_all(data) if one is not None]
    except yaml.YAMLError:
        return yaml_text(rng, data.decode())
    if not documents:
        return yaml_text(rng, data.decode())
    at = rng.randrange(len(documents))
    documents[at] = mutated(rng, documents[at], rng.choice(documents))
    if rng.random() < 0.1:
        return json_bytes(rng, _plain(documents[at]))
    return b"---\n".join(yaml_bytes(rng, one) for one in documents)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """What JSON can hold of a YAML value."""
    if isinstance(value, dict):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


_PIECES = (
    "$((2*$B))", "${A:-1}", "$(c)", "'", '"', "`", "${", "{{ .Values.x }}", "\\\n", "<<E\n", " && ", "; ", " | ", "--model=../../outside/x",
    "--tensor-parallel-size 99999999999", "--max-model-len -1", "--gpu-memory-utilization nan", "if ", "case ", "for x in ", "A=( ",
)  # fmt: skip


def _with_pieces(rng: Random, text: str) -> str:
    """Text with pieces of shell, flags or anything else in the middle of its words."""
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice((*_PIECES, *HOSTILE_TEXT)) + text[at + rng.randrange(12) :]
    return text


def policy(rng: Random, index: int) -> Case:  # noqa: ARG001
    """A policy changed as text or bytes, in either of its files, with a baseline that may be changed too."""
    lines = seeds.POLICY.split("\n")
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        at = rng.randrange(len(lines))
        key, equals, value = lines[at].partition(" = ")
        choices = (
            *(
                "-1",
                "0",
                "1e400",
                "nan",
                "9" * 50,
                "2026-02-30",
                "[]",
                "{}",
                '"\\u001b[31m"',
                "[" * 200,
                "[[1]]",
                "true",
                "4096",
                '"8GiB"',
                '"does-not-load"',
                "''",
            ),
            *(
                '"' + text.encode("ascii", "ignore").decode().replace('"', "").replace("\\", "") + '"'
                for text in HOSTILE_TEXT[:30]
            ),
        )
        lines[at] = rng.choice(
            (
                *[f"{key}{equals}{rng.choice(choices)}"] * 3,
                "",
                "",
                lines[rng.randrange(len(lines))],
                value,
                f"x{lines[at]}",
            )
        )
    text = "\n".join(lines)
    name = rng.choice(("moesize.toml", "moesize.toml", ".moesize.toml", "pyproject.toml", "own.toml"))
    if name == "pyproject.toml":
        text = "[tool.moesize]\n" + text.replace("\n[[", "\n[[tool.moesize.")
    data = damaged(rng, text.encode()) if rng.random() < 0.1 else text.encode()
    baseline = json_bytes(rng, mutated(rng, seeds.BASELINE) if rng.random() < 0.2 else seeds.BASELINE)
    server = SERVER.replace(b"Our-Org/Model", b"mistralai/Mixtral-8x7B-v0.1") if rng.random() < 0.8 else SERVER
    files = {"a.yaml": server, name: data, "baseline.json": baseline}
    own = ("--policy", "own.toml") if name == "own.toml" else ()
    return Case(_gate(rng, *own, *(("--baseline", "baseline.json") if rng.random() < 0.3 else ())), files)


def locked(rng: Random, index: int) -> Case:
    """A locked spec changed as a structure, as text or as bytes."""
    known = seeds.model_specs()
    spec = {**known[index % len(known)], "name": "model", "hub_ids": ["Our-Org/Model"]}
    data = yaml_bytes(rng, mutated(rng, spec, rng.choice(known)))
    return Case(_gate(rng), {"a.yaml": SERVER, ".moesize/models/our-org/model.yaml": data})


_MODELS = (
    "mistralai/Mixtral-8x7B-Instruct-v0.1", "deepseek-ai/DeepSeek-R1", "openai/gpt-oss-20b", "Qwen/Qwen3-8B-AWQ",
    "meta-llama/Llama-3.1-8B-Instruct", "/models/x.Q4_K_M.gguf", "state-spaces/mamba-2.8b", "",
)  # fmt: skip
_GPUS = (
    "NVIDIA-H100-80GB-HBM3", "a100", "Tesla-T4", "mi300x", "nonsense", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "B200-SHARED", "H100:8",
)  # fmt: skip
_LAUNCHES = (
    "vllm serve", "python3 -m sglang.launch_server --model-path", "text-generation-launcher --model-id", "llama-server -m", "trtllm-serve",
)  # fmt: skip
_COUNTED = (
    "--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size", "--max-model-len", "--tp-size", "--max-num-seqs",
    "--max-num-batched-tokens", "--gpu-memory-utilization", "--cpu-offload-gb", "--dp-size", "--kv-cache-memory-bytes", "--num-shard",
    "--context-length", "-c", "-np", "-ngl", "--n-cpu-moe", "--nnodes",
)  # fmt: skip
_NAMED = ("--quantization", "--kv-cache-dtype", "--dtype", "-ctk", "--quantize")
_NAMES = ("fp8", "awq", "gptq", "bitsandbytes", "mxfp4", "nvfp4", "half", "q8_0", "fp8_e5m2", "int3", "auto", "x")
_SWITCHES = ("--enable-expert-parallel", "--enable-dp-attention", "--enforce-eager", "--cpu-moe")
_FORM = ("model", "gpu", "gpus", "quant", "context", "concurrency", "engine", "tp", "pp", "dp", "ep", "nodes")


def _number(rng: Random) -> str:
    odd = ("auto", "32k", "1e9", "0", "0.5", "NaN", "-1", "$(X)", "９", "1" * 40)
    return rng.choice((str(rng.choice((1, 2, 4, 8, 8192))), str(rng.randrange(-3, 2**20)), rng.choice(odd)))


def launch(rng: Random, index: int) -> Case:
    """A server started with any of the flags that matter, whatever their values; or the plain form with any of its keys."""
    if index % 3 == 0:
        keys = rng.sample(_FORM, rng.randrange(6))
        form: dict[str, Any] = {"model": _MODELS[0], "gpu": "H100"}
        form |= {
            key: rng.choice((*_MODELS, *_GPUS, *_NAMES, "vllm", "tgi", True, _number(rng), _number(rng)))
            for key in keys
        }
        return Case(_gate(rng), {"a.json": json.dumps(form).encode()})
    words = [rng.choice(_LAUNCHES), rng.choice(_MODELS)]
    for _ in range(rng.randrange(6)):
        flag = rng.choice((*_COUNTED, *_NAMED, *_SWITCHES))
        words += [flag] if flag in _SWITCHES else [flag, rng.choice(_NAMES) if flag in _NAMED else _number(rng)]
    container = {
        "name": "engine",
        "image": "vllm/vllm-openai:v0.11.0",
        "command": ["sh", "-c", " ".join(words)],
        "resources": {"limits": {"nvidia.com/gpu": _number(rng)}},
    }
    spec = {"nodeSelector": {"nvidia.com/gpu.product": rng.choice(_GPUS)}, "containers": [container]}
    pod = {"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"template": {"spec": spec}}}
    return Case(_gate(rng), {"a.json": json.dumps(pod).encode()})
