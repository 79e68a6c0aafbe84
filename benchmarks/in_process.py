"""Time of the estimator itself, as ratios to a fixed piece of interpreter work in the same run.

Run: python benchmarks/in_process.py. One `check` on a loaded spec, a comparison of all NVIDIA and AMD cards × all
quantisations, and the same check with a catalogue of 10 and of all specs.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from moesize import load_gpu, load_model
from moesize.answer import answer
from moesize.compare import ALL_QUANTS, compare
from moesize.data import data_dir
from moesize.hardware.gpu import list_gpus
from moesize.sizing import ask


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


def catalogue_growth() -> dict[int, float]:
    """Milliseconds of a cold `load_model` with 10 specs and with all of them, in processes of their own."""
    code = (
        "import sys, time; import yaml, moesize.data as d; from pathlib import Path\n"
        "d.data_dir = lambda kind, real=d.data_dir: Path(sys.argv[1]) if kind == 'model_specs' else real(kind)\n"
        "start = time.perf_counter(); from moesize.model.loader import load_model; load_model('mixtral-8x7b')\n"
        "print((time.perf_counter() - start) * 1000)"
    )
    full = data_dir("model_specs")
    found = {}
    with tempfile.TemporaryDirectory() as name:
        small = Path(name)
        for path in [full / "mixtral-8x7b.yaml", *sorted(full.glob("*.yaml"))[:9]]:
            shutil.copy(path, small)
        index = json.loads((full / "index.json").read_text())
        stems = {path.stem for path in small.glob("*.yaml")}
        kept = {
            "models": {k: v for k, v in index["models"].items() if k in stems},
            "names": {k: v for k, v in index["names"].items() if v in stems},
            "sizes": {k: v for k, v in index["sizes"].items() if k in stems},
        }
        (small / "index.json").write_text(json.dumps(kept))
        for folder in (small, full):
            runs = []
            for _ in range(7):
                command = [sys.executable, "-c", code, str(folder)]
                runs.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            found[len(list(folder.glob("*.yaml")))] = sorted(runs)[3]
    return found


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
    for count, milliseconds in catalogue_growth().items():
        name = f"cold load_model, {count} specs in the catalogue"
        print(f"{name:<48}{milliseconds:9.1f} ms  {milliseconds / base:6.2f}×")


if __name__ == "__main__":
    main()
