"""`moesize report` from the command line."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

RUN = [sys.executable, "-m", "moesize", "report"]
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *map(str, words)], capture_output=True, text=True, check=False, encoding="utf-8")


@pytest.mark.parametrize(("gpus", "status"), [(1, 1), (2, 0)])
def test_it_writes_a_page_and_says_whether_anything_fits(tmp_path: Path, gpus: int, status: int) -> None:
    path = tmp_path / "report.html"
    done = run("mixtral-8x7b", "--gpu", "A100-80GB", "--quant", "fp16", "--gpus", str(gpus), "--output", path)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert f"mixtral-8x7b, fp16, on {gpus}× A100 SXM4 80GB" in page


def test_a_pipe_gets_the_page_and_files_the_same() -> None:
    words = ("mixtral-8x7b", "llama-3.1-8b", "--gpu", "A10G,H200", "--quant", "stored,fp8", "--charts", "3")
    done = run(*words)
    assert done.returncode == 0
    assert done.stdout.endswith("</html>\n")
    assert done.stdout.count('<section class="case">') == 3
    assert run(*words).stdout == done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mixtral-8x7b", "--gpu", "A10GG"], "unknown GPU 'A10GG'"),
        (["mixtral-8x7b", "--gpu", "A10G", "--tp", "3"], "must be divisible"),
        (["mixtral-8x7b", "--gpu", "A10G", "--charts", "0"], "at least 1"),
        (["mixtral-8x7b", "--gpu", "A10G", "--sort", "luck"], "unknown sort order 'luck'"),
        (["mixtral-8x7b", "--gpu", "A10G", "--context", "99999"], "99,999"),
        (["mixtral-8x7b", "--gpu", "A10G", "--engine", "vlm"], "unknown engine 'vlm'"),
        (["llama-3.1-8b", "--gpu", "A10G", "--output", "/nowhere/at/all.html"], "cannot write /nowhere/at/all.html"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(words: list[str], says: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="file names may not hold these characters")
def test_a_checkpoint_folder_may_be_called_anything(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    done = run(folder, "--gpu", "A10G", "--offline")
    assert done.returncode == 0, done.stderr
    assert "<img" not in done.stdout
    assert "&lt;img src=x onerror=alert(1)&gt;" in done.stdout


def test_a_page_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert run("mixtral-8x7b", "--gpu", "A10G", "--tp", "3", "-o", path).returncode == 2
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    assert run("llama-3.1-8b", "--gpu", "A10G", "-o", path).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_two_models_of_one_name_are_not_mixed_up(tmp_path: Path) -> None:
    for parent, layers in (("a", 2), ("b", 4)):
        (tmp_path / parent / "same").mkdir(parents=True)
        config = json.dumps({**CONFIG, "num_hidden_layers": layers})
        (tmp_path / parent / "same" / "config.json").write_text(config)
    done = run(tmp_path / "a" / "same", tmp_path / "b" / "same", "--gpu", "A10G", "--offline")
    assert done.returncode == 2
    assert "are both called same" in done.stderr
