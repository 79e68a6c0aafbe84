"""The same question put to moesize: predicted and measured, figure by figure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moesize.answer import term_out
from moesize.engines.base import EnginePlan
from moesize.observe.observation import Observation
from moesize.observe.question import Answered, Asked, answer_log
from moesize.observe.read import read_log
from moesize.results import TermOut
from moesize.units import gib

SCHEMA = "moesize.observe/1"
#: figure of the log -> category and term of the plan (None: the whole category)
_TERMS = {
    "weights_gib": ("weights", None),
    "activation_gib": ("activation", None),
    "non_torch_gib": ("runtime", "outside torch"),
    "graphs_gib": ("runtime", "CUDA graphs"),
}
_WITHOUT_CARD = ("weights_gib",)


@dataclass(slots=True)
class Held:
    """One figure: what was predicted (with its interval) and what was printed, in the figure's unit."""

    figure: str
    predicted: float | None
    measured: float
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float | None:
        """Printed minus predicted."""
        return None if self.predicted is None else self.measured - self.predicted


@dataclass(slots=True)
class ObserveResult:
    """The whole answer."""

    schema: str
    engine: str
    version: str | None
    predicted_with: str | None
    model: str
    gpu: str | None
    settings: dict[str, Any]
    outcome: str | None
    rows: list[Held]
    predicted_verdict: str | None = None
    terms: list[TermOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(seen: Observation, asked: Asked) -> ObserveResult:
    """Predicted beside printed.

    Raises:
        MoesizeError: the model, the GPU or the quantisation the user names is not known.
    """
    answered = answer_log(seen, asked)
    with_card = answered.gpu is not None
    return ObserveResult(
        schema=SCHEMA,
        engine=seen.engine,
        version=seen.version,
        predicted_with=answered.plan.version if answered.plan else None,
        model=answered.model,
        gpu=answered.gpu,
        settings=dict(sorted(seen.settings.items())),
        outcome=seen.outcome,
        rows=[
            _held(name, value, answered, seen.engine, with_card=with_card)
            for name, value in sorted(seen.printed().items())
        ],
        predicted_verdict=answered.verdict,
        terms=[term_out(term) for term in answered.plan.terms if with_card or term.category == "weights"]
        if answered.plan
        else [],
        notes=list(answered.notes),
    )


def _held(name: str, value: float, answered: Answered, engine: str, *, with_card: bool) -> Held:
    plan = answered.plan
    if plan is None or not (with_card or name in _WITHOUT_CARD):
        return Held(name, None, value)
    if name in _TERMS:
        category, term = _TERMS[name]
        terms = [t for t in plan.terms if t.category == category and term in (None, t.term)]
        if not terms:
            return Held(name, None, value)
        predicted = sum(t.n_bytes for t in terms)
        low, high = sum(t.low_bytes for t in terms), sum(t.high_bytes for t in terms)
        return Held(name, round(gib(predicted), 4), value, round(gib(low), 4), round(gib(high), 4))
    return Held(name, _predicted_line(name, plan, engine), value)


def _predicted_line(name: str, plan: EnginePlan, engine: str) -> float | None:
    """The figure as the predicted lines of this version print it; its meaning changed between versions."""
    printed = read_log(plan.log_lines, engine).figure(name) if plan.log_lines else None
    return _pool_figure(name, plan) if printed is None else printed


def _pool_figure(name: str, plan: EnginePlan) -> float | None:
    if name == "gpu_total_gib":
        return round(gib(plan.device_bytes), 4)
    if plan.pool is None:
        return None
    figures: Mapping[str, float] = {
        "kv_gib": round(gib(plan.pool.n_bytes), 4),
        "kv_tokens": plan.pool.tokens,
        "concurrency": round(plan.pool.max_concurrency, 2),
        "estimated_max_len": plan.pool.max_context_tokens,
        "need_gib": round(gib(plan.pool.needed_bytes), 4),
    }
    return figures.get(name)
