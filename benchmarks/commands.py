"""Wall time and memory of the commands that do much, as ratios to one `moesize check` in the same interleaved run.

Run: python -m benchmarks.commands [--runs N] [--files N…]. `compare` takes all GPUs × all quantisations; `gate` takes
generated trees of manifests (benchmarks/gate.py).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Command, show, side_by_side

ALL = ["--gpu", "all", "--quant", "all", "--offline"]
COMMANDS = {
    "check": ["check", "mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2"],
    "explain": ["explain", "mixtral-8x7b"],
    "plan, all GPUs": ["plan", "mixtral-8x7b", "--offline"],
    "compare, one model, all × all": ["compare", "mixtral-8x7b", *ALL],
    "compare, DeepSeek-V3, all × all": ["compare", "deepseek-v3", *ALL],
    "compare, five models, all × all": [
        "compare", "mixtral-8x7b", "deepseek-v3", "qwen3-30b-a3b", "llama-3.1-8b", "llama-2-70b", *ALL
    ],
    "report, one model and card": ["report", "mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2"],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--files", type=int, nargs="*", default=[1000, 10_000])
    given = parser.parse_args()
    moesize = [sys.executable, "-m", "moesize"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = {what: Command([*moesize, *words]) for what, words in COMMANDS.items()}
        commands["report, one model and card"].words.extend(["--output", str(folder / "report.html")])
        for files in given.files:
            tree = folder / str(files)
            tree.mkdir()
            # by another process: the peak counted for a process is at least that of the one that starts it
            subprocess.run([sys.executable, "-m", "benchmarks.gate", tree, str(files)], check=True)
            # one core, as a shared CI machine gives
            words = ["taskset", "-c", "0", *moesize, "gate", str(tree), "--output", "json=result.json", "-o", "text=-"]
            commands[f"gate, {files:,} manifests, one core"] = Command(words, folder=tree)
        show(side_by_side(commands, given.runs), "check")


if __name__ == "__main__":
    main()
