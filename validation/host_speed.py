"""Bounds on speed with weights in host memory against public measurements: `python -m validation.host_speed`.

A bound is right when nothing measured is faster; how far below it real runs stay says how much it is worth.
"""

from dataclasses import replace
from statistics import median
from typing import NamedTuple

from moesize.engines.base import EngineOptions
from moesize.errors import MoesizeError
from moesize.hardware.gpu import GpuSpec, load_gpu
from moesize.hardware.host_memory import with_host_memory
from moesize.hardware.spec import pcie_bytes_per_second
from moesize.question import evaluate
from moesize.sizing import ask
from moesize.speed import Speed, speed_of
from validation.rows import Row, load_rows, model_of

FILE = "host_speed.yaml"
_LANES = 16


class Bounded(NamedTuple):
    """One row: what was measured and the bound on it, in tokens per second."""

    row: Row
    what: str
    measured: float
    bound: float

    @property
    def ratio(self) -> float:
        """Measured ÷ bound; above 1 the bound is wrong."""
        return self.measured / self.bound


def bounded() -> tuple[Bounded, ...]:
    """Every row of the file."""
    return tuple(_bounded(row) for row in load_rows(FILE))


def summary(rows: tuple[Bounded, ...]) -> dict[str, tuple[int, float, float, float]]:
    """By what was measured: rows, and the least, median and largest ratio."""
    found = {}
    for what in dict.fromkeys(row.what for row in rows):
        ratios = [row.ratio for row in rows if row.what == what]
        found[what] = (len(ratios), min(ratios), median(ratios), max(ratios))
    return found


def _bounded(row: Row) -> Bounded:
    speed, context = speed_of_row(row), row.asked["context"]
    if "tokens_per_second" in row.observed:
        what, measured, bound = "decoding", row.observed["tokens_per_second"], speed.tokens_per_second
    else:
        seconds = speed.seconds_to_first_token
        what, measured, bound = "prompts", row.observed["prompt_tokens_per_second"], seconds and context / seconds
    if not bound:
        raise MoesizeError(f"no bound on {row.id}")
    return Bounded(row, what, measured, bound)


def speed_of_row(row: Row) -> Speed:
    """What moesize bounds a row's run by.

    Raises:
        MoesizeError: what the engine refuses.
    """
    asked = row.asked
    spec = model_of(asked["model"])
    if spec is None:
        raise MoesizeError(f"no spec of {asked['model']}")
    card = _card(row)
    question = ask(
        spec,
        with_host_memory(card, asked["memory"]) if "memory" in asked else card,
        quant=asked["quant"],
        context=asked["context"],
        kv_dtype=asked.get("kv_dtype", "auto"),
        engine="llama.cpp",
        engine_version=row.version,
        options=EngineOptions(
            max_num_batched_tokens=asked.get("ubatch"),
            n_cpu_moe=asked.get("n_cpu_moe"),
            n_gpu_layers=asked.get("n_gpu_layers"),
            flash_attention=True,
        ),
    )
    return speed_of(question, evaluate(question).plan)


def _card(row: Row) -> GpuSpec:
    if "gpu" in row.asked:
        return load_gpu(row.asked["gpu"])
    sheet = row.asked["card"]
    return replace(
        load_gpu(f"{sheet['gib']}GiB"),
        bandwidth_bytes_per_second=sheet["gb_per_s"] * 1e9,
        host_bytes_per_second=pcie_bytes_per_second(sheet["pcie"], _LANES),
    )


if __name__ == "__main__":
    rows = bounded()
    for one in rows:
        print(f"{one.row.id:36} {one.what:9} {one.measured:8.1f} of {one.bound:8.1f}  {one.ratio:.2f}")
    for name, (count, least, middle, most) in summary(rows).items():
        print(f"{name}: {count} rows, measured ÷ bound {least:.2f}…{most:.2f}, median {middle:.2f}")
