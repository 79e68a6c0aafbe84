"""Phrases several rules share."""

from moesize.gate.case import Case, Option
from moesize.gate.document import Position
from moesize.gate.facts import Fact
from moesize.units import gib

_CHANGES_SHOWN = 3


def place(case: Case, *facts: Fact[int] | Fact[str] | Fact[float] | None) -> Position:
    """Where the first of some facts stands in the deployment's own file; else where the deployment begins."""
    start = case.deployment.where
    return next((f.where for f in facts if f is not None and f.where and f.where.file == start.file), start)


def on_gpus(option: Option) -> str:
    """`2× NVIDIA A10G`: what the layout runs on."""
    count = f"{option.gpus_needed}× " if option.gpus_needed and option.gpus_needed > 1 else ""
    return f"{count}{option.gpu.name}" if option.gpu else "a GPU that is not known"


def what(case: Case, option: Option) -> str:
    """`mixtral-8x7b (fp16) on 2× NVIDIA A10G`."""
    name = case.model.name if case.model else "the model"
    question = option.outcome.question if option.outcome else None
    quant = f" ({question.scheme.name})" if question else ""
    return f"{name}{quant} on {on_gpus(option)}"


def ways_out(case: Case, option: Option, otherwise: str) -> str:
    """The nearest changes that were tried and fit."""
    outcome = option.outcome
    changes: tuple[str, ...] = ()
    if outcome and outcome.question and outcome.evaluation:
        changes = case.advise(outcome.question, outcome.evaluation)[:_CHANGES_SHOWN]
    return "what fits: " + "; or ".join(changes) if changes else otherwise


def gibibytes(n_bytes: float) -> str:
    """`3.20 GiB`."""
    return f"{gib(n_bytes):.2f} GiB"
