"""Wall time of `moesize check` against a bare interpreter that imports the same libraries, in the same run.

Run: python benchmarks/cold_start.py [--runs N]. Prints medians and their ratio; nothing is asserted here.
"""

import argparse
import statistics
import subprocess
import sys
import time

BASELINE = "import typer, rich.console, rich.table, pydantic, yaml"
CHECKS = {
    "check that fits": ["mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2"],
    "check that does not fit": ["mixtral-8x7b", "--gpu", "A10G", "--quant", "gptq-4bit"],
    "check, JSON": ["mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2", "--format", "json"],
}


def wall(command: list[str]) -> float:
    """Seconds one run takes."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    commands = {"baseline": [sys.executable, "-c", BASELINE]}
    commands |= {name: [sys.executable, "-m", "moesize", "check", *words] for name, words in CHECKS.items()}
    for command in commands.values():
        wall(command)  # bytecode is written, files are cached
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):  # interleaved, so that a slow moment of the machine slows all alike
        for name, command in commands.items():
            times[name].append(wall(command))
    base = statistics.median(times["baseline"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:<26}{median * 1000:7.0f} ms   {median / base:5.2f}×")


if __name__ == "__main__":
    main()
