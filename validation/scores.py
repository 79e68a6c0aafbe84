"""Errors summed up: count, median, 90th percentile and worst, and the thresholds they are held to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from moesize.data import read_yaml
from validation import checkpoints, exact, measured
from validation.measured import Error, Verdict
from validation.runtime import score_runtime

_THRESHOLDS = Path(__file__).with_name("thresholds.yaml")


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the relative errors of one term, absolute but for `worst` and `bias` (the signed median)."""

    term: str
    count: int
    models: int
    median: float
    p90: float
    p95: float
    worst: float
    worst_row: str
    bias: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything the report shows."""

    summaries: tuple[Summary, ...]
    others: tuple[Summary, ...]
    sizes: tuple[checkpoints.Score, ...]
    verdicts: tuple[Verdict, ...]
    exact: dict[str, tuple[int, int, int]]
    errors: tuple[Error, ...]

    @property
    def confusion(self) -> Counter[tuple[str, str]]:
        """(predicted, observed) -> rows."""
        return Counter((v.predicted, v.observed) for v in self.verdicts)


def score() -> Scores:
    """Run everything."""
    rows = list(measured.scored_rows())
    found = [*measured.errors(rows), *measured.leave_one_model_out()]
    runtime = score_runtime()
    groups: dict[str, list[Error]] = {}
    for error in found:
        groups.setdefault(error.term, []).append(error)
    for left_out in ("", ", leave one model out"):
        both = [f"KV pool, {which}{left_out}" for which in ("H100 0.19", "other rows")]
        groups[f"KV pool, every row{left_out}"] = [error for term in both for error in groups.get(term, ())]
    return Scores(
        tuple(summarise(term, members) for term, members in sorted(groups.items())),
        tuple(summarise(term, runtime.of(term)) for term in sorted({e.term for e in runtime.errors})),
        tuple(checkpoints.scores()),
        (*measured.verdicts(rows), *runtime.verdicts),
        {
            "cache plans (blocks, tokens, concurrency, bytes of a request, estimated lengths)": _tally(
                exact.kv_plans()
            ),
            "weights of a rank after loading": _tally(exact.loaded_weights()),
        },
        tuple(found),
    )


def summarise(term: str, found: list[Error]) -> Summary:
    """One line of the table."""
    sizes = sorted(abs(e.relative) for e in found)
    worst = max(found, key=lambda e: abs(e.relative))
    return Summary(
        term,
        len(found),
        len({e.row.asked["model"] for e in found}),
        median(sizes),
        sizes[_rank(len(sizes), 0.90)],
        sizes[_rank(len(sizes), 0.95)],
        worst.relative,
        worst.row.id,
        median(e.relative for e in found),
    )


def _rank(count: int, share: float) -> int:
    return min(count - 1, int(share * count))


def _tally(references: Iterable[exact.Exact]) -> tuple[int, int, int]:
    """References, of those equal, of the rest explained."""
    every = list(references)
    equal = sum(one.equal for one in every)
    return len(every), equal, sum(bool(one.explained) and not one.equal for one in every)


def misses(scores: Scores) -> list[str]:
    """The thresholds that do not hold, each as a sentence."""
    limits = read_yaml(_THRESHOLDS)
    found = []
    by_term = {s.term: s for s in (*scores.summaries, *scores.others)}
    for term, limit in limits["terms"].items():
        summary = by_term.get(term)
        if summary is None:
            found.append(f"{term}: no rows")
            continue
        for key, most in limit.items():
            value = abs(getattr(summary, key))
            if value > most:
                found.append(f"{term}: {key} is {value:.2%}, allowed {most:.2%} (worst row {summary.worst_row})")
    for what, (count, equal, explained) in scores.exact.items():
        if equal + explained != count:
            found.append(f"{what}: {count - equal - explained} of {count} references neither equal nor explained")
    found += [
        f"{v.row.id}: predicted to fit, observed {v.observed}"
        for v in scores.verdicts
        if v.predicted == "fits" and v.observed in measured.BAD
    ]
    found += _size_misses(scores.sizes, limits["published_sizes"])
    good = [v for v in scores.verdicts if v.observed in measured.GOOD]
    kept = sum(v.predicted != "oom" for v in good) / len(good)
    if kept < limits["successes_not_called_oom"]:
        found.append(f"only {kept:.1%} of recorded successes are not called oom")
    return found


def _size_misses(sizes: tuple[checkpoints.Score, ...], limits: dict[str, float]) -> list[str]:
    """Limits on the errors of published checkpoint sizes that do not hold."""
    ordered = sorted(abs(s.error) for s in sizes)
    values = {
        "median": median(ordered),
        "p95": ordered[_rank(len(ordered), 0.95)],
        "worst": ordered[-1],
    }
    return [
        f"published sizes: {key} is {values[key]:.3%}, allowed {most:.3%}"
        for key, most in limits.items()
        if values[key] > most
    ]
