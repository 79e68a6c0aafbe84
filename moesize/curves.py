"""Memory and the longest context as context length and concurrency grow: one question asked again and again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from moesize.engines.base import Workload
from moesize.question import Evaluation, Question, evaluate
from moesize.results import Verdict

_SHORTEST_TOKENS: Final = 256
_MOST_SEQUENCES: Final = 256
#: Where the model does not say how far its positions reach.
_ASSUMED_LONGEST_TOKENS: Final = 131072
#: The levels drawn beside the asked one.
_SHOWN_SEQUENCES: Final = (1, 8, 64)
_SHOWN_TOKENS: Final = (2048, 16384)


@dataclass(frozen=True, slots=True)
class Point:
    """Bytes of the fullest rank for one workload, with the interval, and the verdict `check` gives it."""

    context_tokens: int
    concurrency: int
    total_bytes: int
    low_bytes: int
    high_bytes: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Line:
    """Points along one axis while the other stands still; `asked` marks the line the question lies on."""

    asked: bool
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Longest:
    """The longest context of `concurrency` sequences that `fits`, and that is not `oom`; None where none is."""

    concurrency: int
    fits_tokens: int | None
    not_oom_tokens: int | None


@dataclass(frozen=True, slots=True)
class Curves:
    """What the curves of one deployment are drawn from; empty where the model's caches cannot be known."""

    budget_bytes: int
    limit_tokens: int
    by_context: tuple[Line, ...]
    by_concurrency: tuple[Line, ...]
    longest: tuple[Longest, ...]


def curves(question: Question) -> Curves:
    """Memory against context and concurrency, and the longest context against concurrency, on the asked layout.

    Raises:
        MoesizeError: what `evaluate` raises for the question itself.
    """
    asked, limit = question.workload, question.spec.context_length or _ASSUMED_LONGEST_TOKENS
    limit = max(limit, asked.context_tokens)
    plan = evaluate(question).plan
    if plan.pool is None:
        return Curves(plan.budget_bytes, limit, (), (), ())
    contexts = _doublings(min(_SHORTEST_TOKENS, limit), limit, asked.context_tokens)
    sequences = _doublings(1, max(_MOST_SEQUENCES, asked.concurrency), asked.concurrency)
    shown_sequences = sorted({*_SHOWN_SEQUENCES, asked.concurrency})
    shown_tokens = sorted({*(t for t in _SHOWN_TOKENS if t < limit), asked.context_tokens, limit})
    return Curves(
        budget_bytes=plan.budget_bytes,
        limit_tokens=limit,
        by_context=tuple(
            Line(count == asked.concurrency, tuple(_point(question, tokens, count) for tokens in contexts))
            for count in shown_sequences
        ),
        by_concurrency=tuple(
            Line(tokens == asked.context_tokens, tuple(_point(question, tokens, count) for count in sequences))
            for tokens in shown_tokens
        ),
        longest=tuple(_longest(question, count, limit) for count in sequences),
    )


def _doublings(first: int, last: int, asked: int) -> list[int]:
    """`first`, twice that, and so on, with `asked` and `last` among them."""
    powers = takewhile(lambda value: value < last, (first << shift for shift in range(64)))
    return sorted({*powers, asked, last})


def _evaluate(question: Question, context_tokens: int, concurrency: int) -> Evaluation:
    return evaluate(replace(question, workload=Workload(context_tokens, concurrency)))


def _point(question: Question, context_tokens: int, concurrency: int) -> Point:
    found = _evaluate(question, context_tokens, concurrency)
    sums = found.totals
    return Point(context_tokens, concurrency, sums.total, sums.low, sums.high, found.judgement.verdict)


def _longest(question: Question, concurrency: int, limit: int) -> Longest:
    def among(verdicts: Iterable[Verdict]) -> Callable[[int], bool]:
        return lambda tokens: _evaluate(question, tokens, concurrency).judgement.verdict in verdicts

    not_oom = _last(among(("fits", "tight")), limit)
    return Longest(concurrency, _last(among(("fits",)), not_oom) if not_oom else None, not_oom)


def _last(holds: Callable[[int], bool], limit: int) -> int | None:
    """The largest of 1 … limit that holds, by halving: what holds for a context holds for every shorter one."""
    if holds(limit):
        return limit
    good, bad = 0, limit
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good or None
