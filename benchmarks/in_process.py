"""CPU time of the estimator itself, as ratios to a fixed piece of interpreter work in the same interleaved run.

Run: python -m benchmarks.in_process [--runs N]. One `check` on a loaded spec, and a comparison of all NVIDIA and AMD
cards × all quantisations.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from moesize import load_gpu, load_model
from moesize.answer import answer
from moesize.compare import ALL_QUANTS, compare
from moesize.hardware.gpu import list_gpus
from moesize.sizing import ask

#: A check takes less than a millisecond: the clock wants more of them.
CHECKS = 50


def cpu_ms(run: Callable[[], object]) -> float:
    """Milliseconds of CPU time of one call."""
    start = time.process_time()
    run()
    return (time.process_time() - start) * 1000


def yardstick() -> int:
    """A fixed piece of interpreter work: 300,000 squares summed."""
    return sum(i * i for i in range(300_000))


def checks(name: str, gpus: int) -> Callable[[], object]:
    """`CHECKS` answers to one question on a loaded spec."""
    question = ask(load_model(name), load_gpu("H200"), gpus=gpus)
    return lambda: [answer(question) for _ in range(CHECKS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    cards = [gpu for gpu in map(load_gpu, list_gpus()) if gpu.vendor in ("nvidia", "amd")]
    spec, quants = load_model("mixtral-8x7b"), [None, *ALL_QUANTS]
    work: dict[str, tuple[Callable[[], object], int]] = {
        "yardstick (300,000 squares summed)": (yardstick, 1),
        "one check of mixtral-8x7b, spec loaded": (checks("mixtral-8x7b", 2), CHECKS),
        "one check of deepseek-v3, spec loaded": (checks("deepseek-v3", 8), CHECKS),
        f"compare, {len(cards)} GPUs × {len(quants)} quantisations": (lambda: compare([spec], cards, quants), 1),
    }
    taken: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(runs + 1):
        for name, (run, times) in work.items():
            milliseconds = cpu_ms(run) / times
            if round_:  # the first round fills caches
                taken[name].append(milliseconds)
    base = statistics.median(next(iter(taken.values())))
    for name, several in taken.items():
        median = statistics.median(several)
        print(f"{name:<48}{median:9.2f} ms  {median / base:7.3f}×")


if __name__ == "__main__":
    main()
