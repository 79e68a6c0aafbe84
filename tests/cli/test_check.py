"""`moesize check` as people and scripts use it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moesize import check

RUN = [sys.executable, "-m", "moesize", "check"]


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    base = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return subprocess.run([*RUN, *words], capture_output=True, text=True, env=base | env, check=False, encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["mixtral-8x7b", "--gpu", "A10G", "--quant", "gptq-4bit"], 1),
        (["mixtral-8x7b", "--gpu", "A100-80GB", "--quant", "fp16"], 1),
        (["mixtral-8x7b", "--gpu", "A100-80GB", "--quant", "fp16", "--gpus", "2"], 0),
        (["mixtral-8x7b", "--gpu", "g5.12xlarge", "--quant", "awq"], 0),
        (["llama-3.1-8b", "--gpu", "24GiB"], 0),
        (["mixtral-8x7b"], 0),
        (["deepseek-v3"], 0),
        (["deepseek-v3", "--gpus", "1"], 1),
    ],
)
def test_exit_status_is_the_verdict(words: list[str], status: int) -> None:
    done = run(*words)
    assert done.returncode == status, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mixtral-8x7b", "--gpu"], ["--gpu", "requires an argument"]),
        (["mixtrall-8x7b", "--gpu", "A10G"], ["unknown model 'mixtrall-8x7b'", "mixtral-8x7b"]),
        (["mixtral-8x7b", "--gpu", "A10GG"], ["unknown GPU 'A10GG'", "a10g"]),
        (["mixtral-8x7b", "--gpu", "A100"], ["several", "a100-sxm4-80gb"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--quant", "gptq-5bit"], ["gptq", "5-bit"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--context", "0"], ["context of 0"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--context", "99999"], ["99,999", "32,768"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--tp", "3"], ["32", "divisible", "(3)"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--gpus", "1", "--tp", "2"], ["uses 2 GPUs, but 1"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--gpus", "0"], ["0 GPUs"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--concurrency", "-1"], ["concurrency of -1"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--gpu-memory-utilization", "-0.5"], ["-0.5", "fraction"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--gpu-memory-utilization", "nan"], ["nan", "fraction"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--engine", "vlm"], ["unknown engine 'vlm'", "vllm"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--engine-version", "99.0"], ["99.0", "newest known"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--kv-dtype", "fp7"], ["fp7"]),
        (["mixtral-8x7b", "--gpu", "A10G", "--cpu-offload", "-3"], ["-3"]),
        (["llama-3.1-8b", "--gpu", "A10G", "--ep"], ["dense"]),
        (["mixtral-8x7b", "--gpu", "-5GiB"], ["-5GiB"]),
        (["claude-opus", "--gpu", "H100"], ["Claude Opus"]),
        (["/nowhere/config.json", "--gpu", "H100"], ["/nowhere/config.json"]),
    ],
)
def test_bad_input_is_one_clear_sentence(words: list[str], says: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for part in says:
        assert part in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"model_type": "mixtral", "hidden_size": "wide"}', ["config.json", "hidden_size", "wide"]),
        ('{"model_type": "mixtral"}', ["config.json", "missing"]),
        ('{"model_type": "mixtrall"}', ["mixtrall", "mixtral", "--as"]),
        ("{", ["config.json"]),
        ("[]", ["config.json"]),
    ],
)
def test_a_corrupt_config_names_file_and_key(tmp_path: Path, content: str, says: list[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    done = run(str(path), "--gpu", "H100")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in says:
        assert part in done.stderr


def test_a_text_report_fits_80_columns_and_carries_no_colour_into_a_pipe() -> None:
    done = run("mixtral-8x7b", "--gpu", "A10G", "--quant", "gptq-4bit", COLUMNS="80")
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("OUT OF MEMORY at load")


def test_a_terminal_without_colour_still_tells_the_parts_apart() -> None:
    done = run("mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2", FORCE_COLOR="1", NO_COLOR="1", COLUMNS="80")
    assert "\x1b[3" not in done.stdout
    assert "█" in done.stdout
    assert "░ runtime" in done.stdout


def test_json_goes_to_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    done = run("mixtral-8x7b", "--gpu", "A10G", "--format", "json", "--output", str(target))
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(target.read_text())["verdict"] == "oom"
    missing = run("mixtral-8x7b", "--gpu", "A10G", "--output", str(tmp_path / "no" / "report.txt"))
    assert missing.returncode == 2
    assert "cannot write" in missing.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.json"]


def test_tight_counts_only_when_strict() -> None:
    words = ["mixtral-8x7b", "--gpu", "A10G", "--gpus", "2", "--quant", "gptq-4bit", "--format", "json"]
    for context in (8192, 16384, 24576, 32768):
        for concurrency in (1, 2, 3, 4, 5):
            asked = [*words, "--context", str(context), "--concurrency", str(concurrency)]
            report = check(
                "mixtral-8x7b", gpu="A10G", gpus=2, quant="gptq-4bit", context=context, concurrency=concurrency
            )
            if report.verdict == "tight":
                assert run(*asked).returncode == 0
                assert run(*asked, "--strict").returncode == 1
                return
    pytest.fail("no tight question among those tried")


def test_vllm_spellings_are_accepted() -> None:
    words = ["llama-3.1-8b", "--gpu", "H100", "--format", "json"]
    ours = run(*words, "--context", "4096", "--tp", "2", "--kv-dtype", "fp8")
    theirs = run(*words, "--max-model-len", "4096", "--tensor-parallel-size", "2", "--kv-cache-dtype", "fp8")
    assert ours.stdout == theirs.stdout != ""


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{' '.join(RUN)} mixtral-8x7b --gpu A10G | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_an_unknown_kind_read_as_a_family_says_so(tmp_path: Path) -> None:
    config = {
        "model_type": "mixtrallike", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
        "vocab_size": 32000, "max_position_embeddings": 32768, "torch_dtype": "bfloat16",
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    done = run(str(path), "--gpu", "H200", "--as", "mixtral", "--format", "json")
    report = json.loads(done.stdout)
    assert report["model"]["params"]["total"] == 46_702_792_704
    assert any("read as mixtral" in note for note in report["notes"])


def test_a_fixed_pool_and_whole_towers_reach_the_engine() -> None:
    fixed = json.loads(
        run("llama-3.1-8b", "--gpu", "H100", "--kv-cache-memory-bytes", str(2**30), "--format", "json").stdout
    )
    assert fixed["kv_cache"]["pool_bytes"] == 2**30
    words = ["glm-4.5v", "--gpu", "H200", "--gpus", "8", "--ep"]
    assert "divide" in run(*words).stderr
    assert run(*words, "--mm-encoder-tp-mode", "data").returncode == 0


def test_a_size_says_nothing_of_how_many_there_are() -> None:
    words = ["llama-3.1-70b", "--gpu", "80GiB", "--format", "json"]
    assert json.loads(run(*words, "--tp", "4").stdout)["gpu"]["count"] == 4
    assert run(*words, "--gpu", "1xA100-80GB", "--tp", "4").returncode == 2
