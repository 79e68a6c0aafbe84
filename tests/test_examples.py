"""The scripts under `examples/` run and say what `check` says."""

import subprocess
import sys
from pathlib import Path

from moesize import check

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def test_memory_against_context() -> None:
    done = run("memory_against_context.py", "mixtral-8x7b", "A100-80GB", "--gpus", "2", "--concurrency", "32")
    assert (done.returncode, done.stderr) == (0, "")
    *rows, legend = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["1,024", "2,048", "4,096", "8,192", "16,384", "32,768"]
    for row in rows:
        tokens = int(row.split()[0].replace(",", ""))
        report = check("mixtral-8x7b", "A100-80GB", gpus=2, concurrency=32, context=tokens)
        assert row.endswith(f" {report.per_gpu.total_bytes / 2**30:.2f} GiB, {report.verdict}")
        over = row.rindex("|") < max(row.rfind(char) for char in "█▓▒░")
        assert over == (report.per_gpu.headroom_bytes < 0)
    assert f"{check('mixtral-8x7b', 'A100-80GB', gpus=2).per_gpu.budget_bytes / 2**30:.2f} GiB" in legend


def test_an_example_says_what_is_wrong() -> None:
    done = run("memory_against_context.py", "mixtrall-8x7b", "A10G")
    assert done.returncode == 1
    assert "unknown model 'mixtrall-8x7b'" in done.stderr
    assert "Traceback" not in done.stderr
