"""Sized by the parameters active per token: those would fit, all of them do not.

A Mixture-of-Experts model computes with a few experts per token, but the router chooses them anew for every token
and layer, so all of them stay in memory. Mixtral 8x7B computes with 12.9 of 46.7 billion parameters and needs
memory for 46.7. Names like "17B-16E" or "A3B" tell the active count, and invite this mistake.

This finding comes beside `does-not-load`, which names the ways out.
"""

from collections.abc import Iterator

from moesize.gate.case import Case, Option
from moesize.gate.findings._words import gibibytes, on_gpus, place
from moesize.gate.findings.base import Finding, Level
from moesize.model.spec import Role

ID = "active-parameters"
LEVEL = Level.WARNING


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU on which the active parameters alone would fit."""
    for option in case.failing():
        evaluation = option.outcome.evaluation if option.outcome else None
        if evaluation is None or evaluation.judgement.oom_at == "kv_cache" or option.gpu is None or case.model is None:
            continue
        active = active_weights_bytes(option)
        gpus = option.gpus_needed or 1
        if not active or active / gpus > evaluation.plan.budget_bytes:
            continue
        params = case.model.params
        text = (
            f"{case.model.name} would fit {on_gpus(option)} by the {_billions(params.active)} parameters"
            f" active per token ({gibibytes(active / gpus)} a GPU); all {_billions(params.total)} stay in memory"
        )
        yield Finding(ID, LEVEL, text, "size by total parameters", place(case, case.deployment.model))


def active_weights_bytes(option: Option) -> int:
    """Bytes of what one token computes with, undivided; 0 for a dense model."""
    question = option.outcome.question if option.outcome else None
    if question is None or not question.spec.experts.routed or question.spec.counts:
        return 0
    share = question.spec.experts.per_token / question.spec.experts.routed
    held = ((t.role, question.scheme.tensor_bytes(t)) for t in question.spec.tensors if t.loaded)
    return round(sum(n * share if role is Role.ROUTED_EXPERT else n for role, n in held))


def _billions(count: int) -> str:
    return f"{count / 1e9:.1f} billion"
