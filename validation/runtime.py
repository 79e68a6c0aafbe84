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
from validation.measured import Error, Verdict
from validation.rows import Row, load_rows, model_of

FILE = "runtime.yaml"
#: Stands in where a row names no card and only what does not depend on one is asked.
_ANY_CARD = "1000GiB"
_DEFAULT_CONTEXT = 8192
_NAMES = {
    "weights_mib": "weights",
    "weights_gib": "weights",
    "fullest_weights_mib": "weights of the fullest GPU",
    "kv_mib": "KV cache",
    "kv_gib": "KV cache of the printed tokens",
    "pool_gib": "KV pool",
    "compute_mib": "compute buffer",
    "kv_and_compute_mib": "KV cache and compute buffer",
    "avail_after_load_gib": "free after loading",
}
#: The file's outcomes as the other rows name them; all these stopped before they served.
_OUTCOMES = {"ok": "ok", "oom": "oom_load"}


@dataclass(frozen=True, slots=True)
class RuntimeScores:
    """Terms are called `engine: figure`, as `validation.scores` sums them up; `failed` are rows moesize refuses.

    Weak rows are in `weak_errors` alone.
    """

    errors: tuple[Error, ...]
    weak_errors: tuple[Error, ...]
    verdicts: tuple[Verdict, ...]
    failed: tuple[tuple[Row, str], ...]

    def of(self, term: str) -> list[Error]:
        """The errors of one term."""
        return [e for e in self.errors if e.term == term]


def score_runtime() -> RuntimeScores:
    """Every row of the file."""
    errors: list[Error] = []
    verdicts: list[Verdict] = []
    failed: list[tuple[Row, str]] = []
    for row in load_rows(FILE):
        try:
            found = evaluation(row)
        except MoesizeError as error:
            failed.append((row, str(error)))
            continue
        predicted = _predicted(row, found)
        observed = {k: float(v) for k, v in row.observed.items() if k != "outcome"}
        if "kv_gib" in observed:
            observed["pool_gib"] = observed["kv_gib"]
        errors += [
            Error(f"{row.asked['engine']}: {_NAMES[k]}", row, predicted[k], v)
            for k, v in observed.items()
            if predicted.get(k) and k not in row.asked.get("not_scored", {})
        ]
        if "outcome" in row.observed and row.has_card:
            verdicts.append(Verdict(row, found.judgement.verdict, _OUTCOMES[row.observed["outcome"]]))
    return RuntimeScores(
        tuple(e for e in errors if not e.row.weak),
        tuple(e for e in errors if e.row.weak),
        tuple(verdicts),
        tuple(failed),
    )


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
    """Print the table, the verdicts, the rows that miss, and what moesize refuses."""
    found = score_runtime()
    for term in dict.fromkeys(e.term for e in found.errors):
        errors = [e.relative for e in found.of(term)]
        models = len({e.row.asked["model"] for e in found.of(term)})
        middle, worst = median(map(abs, errors)), max(errors, key=abs)
        print(f"{term:46} {len(errors):4} rows {models:3} models  median {middle:7.3%}  worst {worst:+8.3%}")
    pairs = [(v.observed, v.predicted) for v in found.verdicts]
    for pair in dict.fromkeys(pairs):
        print(f"observed {pair[0]:9} predicted {pair[1]:6} {pairs.count(pair)}")
    for e in (*found.errors, *found.weak_errors):
        if abs(e.relative) > (0.15 if "compute" in e.term else 0.01):
            weak = f" (weak: {e.row.weak})" if e.row.weak else ""
            print(f"{e.relative:+8.2%} {e.term}: {e.observed:.2f} predicted {e.predicted:.2f}, {e.row.id}{weak}")
    for row, reason in found.failed:
        print(f"refused: {row.id}: {reason}")


if __name__ == "__main__":
    main()
