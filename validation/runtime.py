"""Engines other than vLLM against public figures: `python -m validation.runtime` prints the table.

Every row goes through the public path (`ask`, `evaluate`); which terms are compared is what the row observed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from moesize.engines.base import EngineOptions
from moesize.errors import MoesizeError
from moesize.hardware.gpu import GpuSpec, load_gpu
from moesize.question import Evaluation, evaluate
from moesize.sizing import ask
from moesize.units import GIB, gib
from validation.rows import Row, load_rows, model_of

FILE = "runtime.yaml"
#: Stands in where a row names no card and only what does not depend on one is asked.
_ANY_CARD = "1000GiB"
_DEFAULT_CONTEXT = 8192


@dataclass(frozen=True, slots=True)
class TermScore:
    """One term of one row."""

    row: Row
    engine: str
    term: str
    observed: float
    predicted: float

    @property
    def error(self) -> float:
        """Signed, as a share of what was observed."""
        return self.predicted / self.observed - 1


@dataclass(frozen=True, slots=True)
class VerdictScore:
    """One row with an outcome, and what moesize says."""

    row: Row
    engine: str
    outcome: str
    verdict: str


@dataclass(frozen=True, slots=True)
class RuntimeScores:
    """All of it; `failed` are rows moesize refuses, with its reason."""

    terms: tuple[TermScore, ...]
    verdicts: tuple[VerdictScore, ...]
    failed: tuple[tuple[Row, str], ...]

    def of(self, engine: str, term: str, *, weak: bool = False) -> list[TermScore]:
        """The scores of one term of one engine; weak rows only when asked for."""
        return [s for s in self.terms if s.engine == engine and s.term == term and (weak or not s.row.weak)]


def score_runtime() -> RuntimeScores:
    """Every row of the file."""
    terms: list[TermScore] = []
    verdicts: list[VerdictScore] = []
    failed: list[tuple[Row, str]] = []
    for row in load_rows(FILE):
        try:
            found = evaluation(row)
        except MoesizeError as error:
            failed.append((row, str(error)))
            continue
        engine = row.asked["engine"]
        predicted = _predicted(row, found)
        observed = {k: v for k, v in row.observed.items() if k != "outcome"}
        if "kv_gib" in observed:
            observed["pool_gib"] = observed["kv_gib"]
        terms += [TermScore(row, engine, k, float(v), predicted[k]) for k, v in observed.items() if predicted.get(k)]
        if "outcome" in row.observed and row.has_card:
            verdicts.append(VerdictScore(row, engine, row.observed["outcome"], found.judgement.verdict))
    return RuntimeScores(tuple(terms), tuple(verdicts), tuple(failed))


def evaluation(row: Row) -> Evaluation:
    """What moesize answers to a row.

    Raises:
        MoesizeError: what the engine refuses.
    """
    asked = row.asked
    spec = model_of(asked["model"])
    if spec is None:
        raise MoesizeError(f"no spec of {asked['model']}")
    context = asked.get("context") or min(_DEFAULT_CONTEXT, spec.context_length or _DEFAULT_CONTEXT)
    if spec.context_length and context > spec.context_length:
        spec = replace(spec, context_length=context)
    options = EngineOptions(
        gpu_memory_utilization=asked.get("mem_fraction_static") or asked.get("gpu_memory_utilization"),
        max_num_batched_tokens=asked.get("ubatch") or asked.get("max_num_batched_tokens"),
        max_num_seqs=asked.get("slots") or asked.get("max_num_seqs"),
        n_cpu_moe=asked.get("n_cpu_moe"),
        flash_attention=asked.get("flash_attention"),
    )
    return evaluate(
        ask(
            spec,
            _card(row),
            gpus=asked.get("gpus"),
            quant=asked.get("quant"),
            context=context,
            kv_dtype=asked.get("kv_dtype", "auto"),
            engine=asked["engine"],
            engine_version=row.version,
            tp=asked.get("tp"),
            dp=asked.get("dp", 1),
            ep=asked.get("ep", False),
            options=options,
        )
    )


def _card(row: Row) -> GpuSpec:
    card = load_gpu(row.asked.get("gpu") or _ANY_CARD)
    if "gpu_total_gib" not in row.asked:
        return card
    total = round(row.asked["gpu_total_gib"] * GIB)
    return replace(card, memory_bytes=total, memory_low_bytes=total, memory_high_bytes=total)


def _predicted(row: Row, found: Evaluation) -> dict[str, float]:
    """The row's figures as moesize predicts them; GPU sums come from the lines an operator would read."""
    plan = found.plan
    if row.asked["engine"] == "llama.cpp":
        weights, cache, compute = (_logged(plan.log_lines, what) for what in ("model", "KV", "compute"))
        return {
            "weights_mib": sum(weights),
            "fullest_weights_mib": max(weights),
            "kv_mib": sum(cache),
            "compute_mib": max(compute),
            "kv_and_compute_mib": sum(cache) + sum(compute),
        }
    figures = {"weights_gib": gib(found.totals.weights)}
    pool, observed = plan.pool, row.observed
    if pool and pool.tokens:
        # What the printed tokens take shows the cache's layout alone; the pool itself needs the card.
        if "kv_tokens" in observed:
            figures["kv_gib"] = gib(observed["kv_tokens"] * pool.n_bytes / pool.tokens)
        if row.has_card:
            figures["pool_gib"] = gib(pool.n_bytes)
    after = [line for line in plan.log_lines if "avail mem=" in line]
    if after:
        figures["avail_after_load_gib"] = float(after[0].split("avail mem=")[1].split()[0])
    return figures


def _logged(lines: Iterable[str], what: str) -> list[float]:
    """MiB of the lines of GPU buffers of one kind."""
    return [float(line.split("=")[1].split()[0]) for line in lines if f"{what} buffer size" in line and "CUDA" in line]


def main() -> None:
    """Print the table, the worst rows, the verdicts, and what moesize refuses."""
    found = score_runtime()
    print(f"{'engine':14} {'term':20} rows  median     p90      worst")
    for engine, term in dict.fromkeys((s.engine, s.term) for s in found.terms):
        errors = [s.error for s in found.of(engine, term)]
        if errors:
            ordered = sorted(map(abs, errors))
            p90 = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
            print(
                f"{engine:14} {term:20} {len(errors):4} {median(ordered):8.3%} {p90:8.3%} {max(errors, key=abs):+9.3%}"
            )
    print("\nverdicts (observed -> predicted)")
    pairs = [(v.outcome, v.verdict) for v in found.verdicts]
    for pair in dict.fromkeys(pairs):
        print(f"  {pair[0]:4} -> {pair[1]:6} {pairs.count(pair)}")
    for v in found.verdicts:
        if (v.outcome, v.verdict) in (("oom", "fits"), ("ok", "oom")):
            print(f"  ! {v.outcome} but {v.verdict}: {v.row.id}")
    print("\nrows beyond 1 % (buffers: 15 %)")
    for s in found.terms:
        limit = 0.15 if "compute" in s.term else 0.01
        if abs(s.error) > limit:
            weak = f" (weak: {s.row.weak})" if s.row.weak else ""
            print(f"  {s.error:+8.2%} {s.term:20} {s.observed:10.2f} {s.predicted:10.2f} {s.row.id}{weak}")
    for row, reason in found.failed:
        print(f"  refused: {row.id}: {reason}")


if __name__ == "__main__":
    main()
