"""What fuzzing found: each input that once hung, failed with a traceback or reached the terminal raw."""

import json
import time
from pathlib import Path

import pytest

from moesize.cli.main import main
from moesize.data import MAX_YAML_BYTES, data_dir, read_yaml
from moesize.errors import InputError, MoesizeError
from moesize.gate.read import read_deployments
from moesize.hardware.spec_file import parse_gpu
from moesize.model.configs import spec_from_config
from moesize.model.hub import parse_reference
from moesize.model.loader import load_model
from moesize.quant.checkpoint import stored_scheme
from scripts.fuzz import seeds
from scripts.fuzz.case import Case
from scripts.fuzz.mutate import BOMB, MERGES, places
from scripts.fuzz.watch import run

SPEC = "name: own\ntitle: Own\nconfig_source: https://example.org\nas_of: 2026-01-01\n"


@pytest.mark.parametrize("bomb", [BOMB, MERGES], ids=["aliases", "merges"])
def test_yaml_that_grows_by_its_aliases_is_refused_before_it_does(bomb: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"{bomb}{SPEC}config: *a9\n")
    begin = time.process_time()
    with pytest.raises(InputError, match="aliases stand for more than"):
        load_model(tmp_path / "own.yaml")
    assert time.process_time() - begin < 2


def test_yaml_that_holds_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"{SPEC}config: &a {{model_type: *a}}\n")
    with pytest.raises(InputError, match="line 5: alias"):
        load_model(tmp_path / "own.yaml")


def test_a_refusal_says_more_than_one_character(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"{SPEC}undisclosed: x\n")
    with pytest.raises(InputError, match="expected a sentence"):
        load_model(tmp_path / "own.yaml")


def test_yaml_may_repeat_itself_in_measure(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("a: &x [1, 2]\nb: {<<: &m {c: 1}, d: *x}\ne: *m\nf: &s text\ng: *s\n")
    assert read_yaml(tmp_path / "own.yaml")["b"] == {"c": 1, "d": [1, 2]}


def test_yaml_without_end_is_not_read_to_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"#" * (MAX_YAML_BYTES + 1))
    with pytest.raises(InputError, match="larger than 5 MiB"):
        read_yaml(tmp_path / "own.yaml")


def test_layers_beyond_any_model_are_refused_at_once() -> None:
    """Families compare lists of layers with each other: at 60,000 that took up to 40 seconds."""
    config = {**seeds.TINY, "num_hidden_layers": 65_536}
    with pytest.raises(InputError, match="at most 5000"):
        spec_from_config(config, "config.json")


def test_a_dtype_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match=r"config\.json: torch_dtype: unknown dtype 'float7'"):
        spec_from_config({**seeds.TINY, "torch_dtype": "float7"}, "config.json")
    assert spec_from_config({**seeds.TINY, "torch_dtype": "torch.float16"}, "config.json").dtype == "float16"


def test_a_reason_without_end_is_cut_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.yaml").write_text(f"{SPEC}undisclosed: {'nobody says why ' * 300}\n")
    assert main(["check", str(tmp_path / "own.yaml"), "--gpu", "A10G"]) == 2
    assert 500 < len(capsys.readouterr().err) < 700


def test_a_dtype_of_states_that_is_none_is_named() -> None:
    config = load_model("nemotron-3-nano-4b", offline=True)
    raw = read_yaml(data_dir("model_specs") / "nemotron-3-nano-4b.yaml")["config"]
    assert config.architecture == "nemotron_h"
    with pytest.raises(InputError, match=r"mamba_ssm_cache_dtype: unknown dtype '`touch pwned`'"):
        spec_from_config({**raw, "mamba_ssm_cache_dtype": "`touch pwned`"}, "config.json")


def test_a_gpu_file_of_another_name_is_told_without_its_escapes() -> None:
    raw = read_yaml(data_dir("gpu_specs") / "nvidia-a10g.yaml") | {"id": "\x1b[31mred"}
    with pytest.raises(InputError, match=r"id is \?\[31mred, but the file is nvidia-a10g\.yaml"):
        parse_gpu(data_dir("gpu_specs") / "nvidia-a10g.yaml", raw, "nvidia-a10g")


def test_a_mistyped_line_without_end_is_cut_where_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpus", "search", "x" * 4000]) == 2
    assert len(capsys.readouterr().err) < 1200


_ANYTHING = (
    None, -1, 0, 1, 2**62, 10**400, 1.5, float("nan"), "x", "", True, [], {}, [[]], [{}], {"a": []}, ["re:["],
)  # fmt: skip


@pytest.mark.parametrize("config", seeds.QUANTISATIONS, ids=lambda config: config["quant_method"])
def test_every_single_value_of_a_quantisation_can_be_anything(config: dict) -> None:
    for path in places(config):
        for value in _ANYTHING:
            changed = json.loads(json.dumps(config))
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = value
            try:
                spec = spec_from_config({**seeds.TINY, "quantization_config": changed}, "config.json")
                stored_scheme(spec)
            except MoesizeError as error:
                assert "\n" not in str(error)  # noqa: PT017  any other exception fails the test


def test_what_a_quantisation_calls_itself_can_be_printed() -> None:
    config = {**seeds.TINY, "quantization_config": {"quant_method": "gguf", "file_type": "\x1b[31mQ4_K_M"}}
    assert stored_scheme(spec_from_config(config, "config.json")).name.isprintable()


@pytest.mark.parametrize("name", ["org/a--b", "org/a..b", "org/name.", "-org/name", "org/-name", "org/na\nme"])
def test_names_the_hub_has_not_are_no_names_of_models(name: str) -> None:
    with pytest.raises(InputError, match="no model on the Hub"):
        parse_reference(name)


def test_a_log_may_name_its_model_in_any_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "server.log"
    log.write_text(
        "INFO Initializing a V1 LLM engine (v0.11.0) with config: model='deepseek-ai/DeepSeek-R.', quantization=fp8\ufeff\x1b,\n"
        "Model loading took 14.99 GiB\n"
    )
    assert main(["observe", str(log), "--offline"]) == 0
    assert main(["observe", str(log), "--offline", "--format", "json"]) == 0
    shown = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in shown)


@pytest.mark.parametrize(
    "words",
    [
        ["gate", "out\x1b[2J"],
        ["check", "mixtral-8x7b", "--gpu", "A10G", "--output", "no\x1b[31m/such"],
        ["check", "mixtral-8x7b", "--gpu", "A10G", "--prices\x1b[31m", "x"],
        ["check", "mixtral-8x7b", "--gpu", "A10G", "--format", "\x1b[31m"],
        ["gpus", "sh\x1b[31mow"],
    ],
    ids=["path", "output", "option", "choice", "command"],
)
def test_what_is_typed_does_not_reach_the_terminal_raw(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "?[" in said or r"\x1b[" in said
    assert all(c.isprintable() or c == "\n" for c in said)


def test_names_in_a_spec_do_not_reach_the_terminal_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.yaml").write_text(
        f'{SPEC}notes: ["\\e[2J"]\nconfig: {json.dumps(seeds.TINY)}\n'.replace("name: own", 'name: "o\\e[31mwn"')
    )
    for form in ("text", "json", "markdown"):
        assert main(["check", str(tmp_path / "own.yaml"), "--gpu", "A10G", "--format", form]) == 0
        assert all(c.isprintable() or c == "\n" for c in capsys.readouterr().out)


def test_a_path_no_file_can_have_is_one_sentence() -> None:
    deployment = {"a.yaml": b"model: Our-Org/Model\ngpu: H200\n"}
    outcome = run(Case(("lock", "a.yaml", "--folder", "x" * 300), deployment))
    assert (outcome.status, outcome.problems) == (2, [])
    assert "File name too long" in outcome.err


def test_a_spec_whose_base_no_file_can_be_called_leaves_the_gate_its_answer() -> None:
    deployment = b"model: Our-Org/Model\ngpu: H200\n"
    spec = f"{SPEC}base: {'x' * 400}\n".encode()
    outcome = run(Case(("gate", "."), {"a.yaml": deployment, ".moesize/models/our-org/model.yaml": spec}))
    assert (outcome.status, outcome.problems) == (0, [])
    assert "is no spec beside it" in outcome.out


def test_a_word_without_end_is_cut_where_it_is_told() -> None:
    policy = f'min-headroom = "{"x" * 5000}"\n'.encode()
    outcome = run(Case(("gate", "."), {"moesize.toml": policy}))
    assert (outcome.status, outcome.problems) == (2, [])
    assert len(outcome.err) < 400


def test_an_index_may_name_a_file_of_any_length() -> None:
    index = {"weight_map": {"a": "x" * 400 + ".safetensors"}}
    files = {"config.json": json.dumps(seeds.TINY).encode(), "model.safetensors.index.json": json.dumps(index).encode()}
    outcome = run(Case(("check", ".", "--gpu", "A10G"), files))
    assert (outcome.status, outcome.problems) == (2, [])


def test_odd_escapes_in_a_program_are_no_warning_of_ours(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / "serve.py").write_text(
        'x = "\\d"\nLLMConfig(model_loading_config=dict(model_source="org/m"), accelerator_type="H100")\n'
    )
    assert len(read_deployments([tmp_path], root=tmp_path).deployments) == 1
    assert list(recwarn) == []
