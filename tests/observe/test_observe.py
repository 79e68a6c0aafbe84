"""Every figure of every line format is found, and what is no log at all does no harm."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from moesize.data import read_yaml
from moesize.errors import MoesizeError
from moesize.observe.compare import compare
from moesize.observe.observation import Observation
from moesize.observe.question import Asked, answer_log, model_names
from moesize.observe.read import LONGEST_LINE, lines_of, read_log
from moesize.observe.row import row
from validation.rows import DATA

EXCERPTS = yaml.safe_load(Path(__file__).with_name("excerpts.yaml").read_text(encoding="utf-8"))
DEBUG_PROFILE = next(e["log"] for e in EXCERPTS if e["id"] == "vllm-0.19.0-debug-profile")


def observed(log: str) -> Observation:
    return read_log(lines_of(io.BytesIO(log.encode())))


def run(*words: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[bytes]:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    env = os.environ | {"COLUMNS": "120"}
    command = [sys.executable, "-m", "moesize", "observe", *words]
    return subprocess.run(command, input=data, capture_output=True, check=False, env=env)


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=[e["id"] for e in EXCERPTS])
def test_every_figure_of_a_log_is_found(excerpt: dict) -> None:
    seen, expect = observed(excerpt["log"]), excerpt["expect"]
    assert (seen.engine, seen.version) == (expect["engine"], expect["version"])
    assert seen.printed() == pytest.approx(expect["figures"])
    assert expect["settings"].items() <= seen.settings.items()
    assert seen.outcome == expect["outcome"]


def test_the_excerpts_span_the_supported_versions() -> None:
    versions = {e["expect"]["version"] for e in EXCERPTS if e["expect"]["engine"] == "vllm"}
    assert len(EXCERPTS) >= 20
    assert {"0.6.1.post2", "0.33.0"} <= versions
    assert sum(e["expect"]["engine"] == "sglang" for e in EXCERPTS) >= 4


def test_a_published_run_is_predicted_as_its_row_says() -> None:
    """The excerpt holds the figures of a run in `validation/`: prediction and print must be near, weights to a hundredth."""
    result = compare(observed(DEBUG_PROFILE), Asked(gpu="H100-80GB"))
    rows = {held.figure: held for held in result.rows}
    assert rows["weights_gib"].predicted == pytest.approx(14.99, abs=0.01)
    assert rows["kv_gib"].difference == pytest.approx(0, abs=0.1)
    assert rows["activation_gib"].low <= 1.89 <= rows["activation_gib"].high
    assert result.predicted_verdict == "fits"


def test_a_log_that_drafts_is_answered_with_its_draft() -> None:
    """Three drafted tokens are slots and pages of their own: without them the pool would hold a sixth fewer tokens."""
    seen = observed(next(e["log"] for e in EXCERPTS if e["id"] == "vllm-0.25.1-drafting-with-its-own-layer"))
    answered = answer_log(seen, Asked(gpu="GB10"))
    assert answered.question.options.speculation.method == "mtp"
    assert answered.question.options.speculation.tokens == 3
    per_gib = {held.figure: held for held in compare(seen, Asked(gpu="GB10")).rows}
    assert per_gib["kv_tokens"].predicted / per_gib["kv_gib"].predicted == pytest.approx(3366051 / 74.22, rel=3e-4)
    assert any("RedHatAI/Qwen3.6-35B-A3B-NVFP4 is taken for nvidia/" in note for note in answered.notes)
    assert row(seen, answered, "https://example.org/log")["asked"]["speculative"] == "mtp:3"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("method='medusa', model='abhigoyal/vllm-medusa', num_spec_tokens=3", "medusa"),
        ("method='eagle', model='nobody/knows', num_spec_tokens=3", "nobody/knows"),
    ],
)
def test_a_draft_that_cannot_be_sized_is_said_and_left_out(config: str, says: str) -> None:
    log = next(e["log"] for e in EXCERPTS if e["id"] == "vllm-0.25.1-drafting-with-its-own-layer")
    own = "method='mtp', model='RedHatAI/Qwen3.6-35B-A3B-NVFP4', num_spec_tokens=3"
    answered = answer_log(observed(log.replace(own, config)), Asked(gpu="GB10"))
    assert answered.question.options.speculation is None
    assert any(note.startswith("predicted without the speculation") and says in note for note in answered.notes)


def test_without_a_card_only_weights_are_predicted() -> None:
    result = compare(observed(next(e["log"] for e in EXCERPTS if e["id"] == "vllm-0.9.2-available")), Asked())
    assert {held.figure for held in result.rows if held.predicted is not None} == {"weights_gib"}
    assert any("--gpu" in note for note in result.notes)


def test_an_unknown_model_is_said_and_the_figures_stand() -> None:
    result = compare(
        observed(
            next(e["log"] for e in EXCERPTS if e["id"] == "vllm-0.6.1-v0").replace(
                "Meta-Llama-3-8B-Instruct", "Nobody-Knows"
            )
        ),
        Asked(),
    )
    assert "--model" in result.notes[0]
    assert {held.figure: held.measured for held in result.rows}["weights_gib"] == 14.9595


def test_a_row_reads_like_those_of_the_validation_data() -> None:
    seen = observed(DEBUG_PROFILE)
    made = row(seen, answer_log(seen, Asked(gpu="H100-80GB")), "https://example.org/log")
    known = read_yaml(DATA / "vllm_h100_019.yaml")["rows"]
    assert set(made) == {"id", "source", "asked", "observed"}
    assert set(made["asked"]) <= {key for entry in known for key in entry["asked"]} | {
        "max_num_seqs",
        "enforce_eager",
        "prefix_caching",
        "max_cudagraph_capture_size",
    }
    assert set(made["observed"]) <= {key for entry in known for key in entry["observed"]}
    assert made["observed"]["kv_tokens"] == 476016


def test_as_row_prints_yaml_and_json_has_differences(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(DEBUG_PROFILE)
    done = run(str(log), "--as-row", "--gpu", "H100-80GB", "--source", "https://example.org/log")
    assert yaml.safe_load(done.stdout)[0]["asked"]["gpu"] == "nvidia-h100-sxm5-80gb"
    done = run("-", "--gpu", "H100-80GB", "--format", "json", stdin=DEBUG_PROFILE)
    report = json.loads(done.stdout)
    weights = next(r for r in report["rows"] if r["figure"] == "weights_gib")
    assert report["schema"] == "moesize.observe/1"
    assert weights["difference"] == pytest.approx(weights["measured"] - weights["predicted"])


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (["/nowhere/vllm.log"], "", "/nowhere/vllm.log"),
        (["-"], "", "no memory line"),
        (["-"], "hello\n" * 1000, "no memory line"),
        (["-"], os.urandom(2**16), "no memory line"),
        (["-", "--gpu", "A10GG"], DEBUG_PROFILE, "A10GG"),
        (["-", "--model", "mixtrall"], DEBUG_PROFILE, "mixtrall"),
        (["-", "--save", "/nowhere/x.yaml"], DEBUG_PROFILE, "/nowhere/x.yaml"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(words: list[str], stdin: str | bytes, says: str) -> None:
    done = run(*words, stdin=stdin)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert says.encode() in done.stderr


@pytest.mark.parametrize(
    "named",
    [
        "/etc/passwd",
        "../../secrets/config.json",
        "C:\\models\\x.gguf",
        "~/.ssh/id_rsa",
        "https://evil.example/config.json",
    ],
)
def test_a_path_a_log_names_is_never_opened(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("moesize.observe.question.load_model", lambda name, **_: opened.append(name) or _refuse())
    compare(
        observed(
            f"INFO [core.py] Initializing a V1 LLM engine (v0.19.0) with config: model='{named}', max_seq_len=8192\nModel loading took 1.0 GiB memory\n"
        ),
        Asked(),
    )
    assert not any(name.startswith(("/", "~", ".", "http")) or name.endswith((".json", ".gguf")) for name in opened)


def _refuse() -> None:
    raise MoesizeError("unknown")


def test_a_hub_cache_folder_names_its_repository() -> None:
    assert model_names("/models/.cache/huggingface/hub/models--Qwen--Qwen3-8B/snapshots/abc")[0] == "Qwen/Qwen3-8B"
    assert "Qwen3-8B" in model_names("D:\\\\models\\\\Qwen3-8B")


def test_a_line_of_megabytes_is_cut_and_read_in_linear_time() -> None:
    log = (
        "GPU KV cache size: "
        + "9" * 5_000_000
        + " tokens\n"
        + "model='" * 500_000
        + "\nModel loading took 1.50 GiB memory\n"
    )
    assert observed(log).figure("weights_gib") == 1.5
    assert all(len(line) <= LONGEST_LINE for line in lines_of(io.BytesIO(log.encode())))


MARKS = [
    "Model loading took ", "GPU KV cache size: ", " GiB", "Maximum concurrency for ", "# GPU blocks: ", ",", "-", ".", "=", "'",
    "ServerArgs(", "LLM engine (v", "tensor_parallel_size=", "max_seq_len=", "nan", "1e400", "99999999999999999999", "\x00",
    "Load weight end", "mem usage=", "KV Cache is allocated. #tokens: ", "\x1b[31m", "\n", "none", "٣", "gpu_memory_utilization=",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=12), st.integers().map(str)), max_size=60))
def test_hostile_logs_are_read_or_refused(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        seen = observed(text)
        result = compare(seen, Asked(offline=True))
    except MoesizeError:
        return
    assert all(value >= 0 and value == value for values in seen.figures.values() for value in values)
    assert result.rows is not None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EXCERPTS), st.data())
def test_a_truncated_log_gives_a_part_of_the_figures(excerpt: dict, data: st.DataObject) -> None:
    log = excerpt["log"]
    cut = log[: data.draw(st.integers(0, len(log)))]
    try:
        seen = observed(cut.rpartition("\n")[0])
    except MoesizeError:
        return
    assert set(seen.figures) <= set(excerpt["expect"]["figures"]) | {"estimated_max_len", "need_gib", "kv_gib"}
