"""Time of the estimator itself, as ratios to a fixed piece of interpreter work in the same run.

Run: python -m benchmarks.in_process. One `check` on a loaded spec, a comparison of all NVIDIA and AMD cards × all
quantisations.
"""

import time
from collections.abc import Callable

from moesize import load_gpu, load_model
from moesize.compare import ALL_QUANTS, compare
from moesize.hardware.gpu import list_gpus
from moesize.sizing import answer, ask


def median_ms(run: Callable[[], object], times: int) -> float:
    """Median milliseconds of `times` runs, after one that fills caches."""
    run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append((time.perf_counter() - start) * 1000)
    return sorted(taken)[times // 2]


def yardstick() -> int:
    """A fixed piece of interpreter work: about a million additions."""
    return sum(i * i for i in range(300_000))


def main() -> None:
    base = median_ms(yardstick, 15)
    print(f"{'yardstick (300,000 squares summed)':<48}{base:9.1f} ms    1.00×")
    for name, gpus in (("mixtral-8x7b", 2), ("deepseek-v3", 8)):
        question = ask(load_model(name), load_gpu("H200"), gpus=gpus)
        taken = median_ms(lambda q=question: answer(q), 50)
        print(f"{f'one check of {name}, spec loaded':<48}{taken:9.2f} ms  {taken / base:6.2f}×")
    cards = [gpu for gpu in map(load_gpu, list_gpus()) if gpu.vendor in ("nvidia", "amd")]
    spec = load_model("mixtral-8x7b")
    quants = [None, *ALL_QUANTS]
    taken = median_ms(lambda: compare([spec], cards, quants), 3)
    print(f"{f'compare, {len(cards)} GPUs × {len(quants)} quantisations':<48}{taken:9.0f} ms  {taken / base:6.1f}×")


if __name__ == "__main__":
    main()
