"""From a plan to a verdict: an interval against a budget, and where a server would stop."""

from typing import NamedTuple

from moesize.engines.base import EnginePlan, Term
from moesize.hardware.gpu import GpuSpec
from moesize.results import OomAt, Verdict
from moesize.units import gib


class Totals(NamedTuple):
    """Bytes of the fullest rank: nominal and the interval, inside the budget and outside it."""

    weights: int
    kv_cache: int
    activation: int
    runtime: int
    low: int
    high: int
    outside: int

    @property
    def total(self) -> int:
        """All of the budget that is used."""
        return self.weights + self.kv_cache + self.activation + self.runtime


class Judgement(NamedTuple):
    """The verdict, where it would die, and why."""

    verdict: Verdict
    oom_at: OomAt | None
    reasons: tuple[str, ...]


def totals(plan: EnginePlan) -> Totals:
    """Sums over the terms of a plan, the requested cache included."""
    inside = [term for term in plan.terms if term.in_budget]
    kv = plan.pool.needed_bytes if plan.pool else 0
    return Totals(
        weights=_sum(inside, "weights"),
        kv_cache=kv,
        activation=_sum(inside, "activation"),
        runtime=_sum(inside, "runtime"),
        low=kv + sum(term.low_bytes for term in inside),
        high=kv + sum(term.high_bytes for term in inside),
        outside=sum(term.n_bytes for term in plan.terms if not term.in_budget),
    )


def _sum(terms: list[Term], category: str) -> int:
    return sum(term.n_bytes for term in terms if term.category == category)


def judge(plan: EnginePlan, gpu: GpuSpec, *, context_tokens: int, concurrency: int) -> Judgement:
    """The verdict of a plan on a card.

    `fits` when the upper end is within the budget, `oom` when the lower end is beyond it, `tight` between. A card's own
    total has an interval too: drivers report slightly different ones, and `oom` takes the largest.
    """
    sums = totals(plan)
    roomiest = gpu.memory_high_bytes / gpu.memory_bytes
    outside_low = sum(term.low_bytes for term in plan.terms if not term.in_budget)
    card = round(plan.device_bytes * roomiest)
    if sums.weights > card - outside_low:
        return Judgement("oom", "load", (_load_reason(sums, gpu, card),))
    if sums.low - sums.kv_cache > card - outside_low:
        text = f"weights and the activations of a step need {_g(sums.low - sums.kv_cache)}; the card has {_g(card)}"
        return Judgement("oom", "runtime", (text,))
    if sums.low > plan.budget_bytes * roomiest:
        return Judgement("oom", "kv_cache", (_cache_reason(plan, sums, context_tokens, concurrency),))
    if sums.high > plan.budget_bytes:
        over = sums.high - plan.budget_bytes
        text = f"within the spread of what was measured: the upper end is {_g(over)} over the budget"
        return Judgement("tight", None, (text,))
    left_over = plan.device_bytes - plan.budget_bytes
    outside_high = sum(term.high_bytes for term in plan.terms if not term.in_budget)
    if outside_low > left_over:
        text = f"the engine leaves {_g(left_over)} of the card alone, but its process needs {_g(outside_low)} there"
        return Judgement("oom", "load", (f"{text}; lower --gpu-memory-utilization",))
    if outside_high > left_over:
        text = f"the process may need {_g(outside_high)} outside the budget, which leaves {_g(left_over)}"
        return Judgement("tight", None, (f"{text}; lower --gpu-memory-utilization to be safe",))
    if plan.pool is None:
        text = f"the weights leave {_g(plan.budget_bytes - sums.total)}; what its KV cache takes is not known"
        return Judgement("tight", None, (text,))
    return Judgement("fits", None, ())


def _load_reason(sums: Totals, gpu: GpuSpec, card: int) -> str:
    has = _g(gpu.memory_bytes) if card == gpu.memory_bytes else f"{gib(gpu.memory_bytes):.2f}–{_g(card)}"
    nominal = f" (sold as {gpu.nominal_gb:g} GB)" if gpu.nominal_gb else ""
    return f"weights alone take {_g(sums.weights)} per GPU; {gpu.name}{nominal} has {has}"


def _cache_reason(plan: EnginePlan, sums: Totals, context_tokens: int, concurrency: int) -> str:
    rest = sums.total - sums.kv_cache
    left = plan.budget_bytes - rest
    if plan.pool is None or left <= 0:
        return f"weights, activations and runtime take {_g(rest)} of a budget of {_g(plan.budget_bytes)}: no cache fits"
    asked = f"{concurrency} × {context_tokens:,} tokens" if concurrency > 1 else f"{context_tokens:,} tokens"
    return f"{asked} of cache need {_g(sums.kv_cache)}; {_g(left)} are left beside weights, activations and runtime"


def _g(n_bytes: float) -> str:
    return f"{gib(n_bytes):.2f} GiB"
