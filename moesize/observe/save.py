"""What a server's own log leaves for later questions: the terms no rule derives, as this engine printed them."""

from moesize.calibration import Measured, write_calibration
from moesize.errors import InputError
from moesize.observe.observation import Observation
from moesize.observe.question import Answered
from moesize.units import GIB

#: figure of the log -> term of the engines; printed with two decimals, so half a unit of the last is either way
_TERMS = {"non_torch_gib": "outside torch", "graphs_gib": "CUDA graphs", "activation_gib": "activations"}
_ROUNDING_GIB = 0.005


def calibration_text(seen: Observation, answered: Answered, date: str) -> str:
    """The calibration file of a log.

    Figures hold for the log's engine, card and layout (what communicates decides what lies outside torch); graphs and
    activations for its model, activations for its step.

    Raises:
        InputError: the log has none of these figures, or its question cannot be asked.
    """
    if answered.question is None or answered.plan is None:
        raise InputError(f"nothing to save: {answered.notes[-1] if answered.notes else 'the log has no question'}")
    layout = answered.question.layout
    step = {"max_num_batched_tokens": answered.plan.max_num_batched_tokens, "max_num_seqs": answered.plan.max_num_seqs}
    where: dict[str, object] = {"engine": seen.engine, "tp": layout.tp, "pp": layout.pp}
    if answered.question.gpu.category != "given":
        where["gpu"] = answered.question.gpu.id
    conditions: dict[str, dict[str, object]] = {
        "outside torch": where,
        "CUDA graphs": {**where, "model": answered.model},
        "activations": {**where, "model": answered.model, **step},
    }
    kept = sum(
        t.n_bytes for t in answered.plan.terms if t.category == "activation" and t.in_budget and t.term != "activations"
    )
    measured = []
    for figure, term in _TERMS.items():
        value = seen.figure(figure)
        if value is None:
            continue
        aside = kept if term == "activations" else 0
        n_bytes, low, high = (
            max(0, round((value + off) * GIB) - aside) for off in (0.0, -_ROUNDING_GIB, _ROUNDING_GIB)
        )
        measured.append(Measured(term, n_bytes, low, high, conditions[term]))
    if not measured:
        raise InputError(
            "nothing to save: the log prints neither memory outside torch nor graphs nor an activation peak; vLLM does"
            " with VLLM_LOGGING_LEVEL=DEBUG"
        )
    return write_calibration(
        made_by="moesize observe",
        device=answered.gpu or "unknown",
        engine=f"{seen.engine} {seen.version or 'unknown'}",
        date=date,
        facts={"model": answered.model, "quant": answered.question.scheme.name},
        measured=tuple(measured),
    )
