"""It fits by the nominal figures, and not with the spread that was measured.

Activations, CUDA graphs and the runtime are calibrated on public measurements, which scatter. The upper end of what
was seen is beyond the budget: it will start on one driver or version and not on another.

Ways out: a little less of anything: length, tokens per step, utilisation where the process itself has no room. Set
`levels.tight = "error"` in the policy to refuse it.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import place, ways_out, what
from moesize.gate.findings.base import Finding, Level

ID = "tight"
LEVEL = Level.WARNING


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU it is tight on."""
    seen: set[str] = set()
    for option in case.options:
        if option.verdict != "tight" or option.gpu is None or option.gpu.id in seen:
            continue
        seen.add(option.gpu.id)
        evaluation = option.outcome.evaluation if option.outcome else None
        reason = "; ".join(evaluation.judgement.reasons) if evaluation else ""
        help_text = ways_out(case, option, "a little less context, or fewer tokens per step")
        yield Finding(
            ID, LEVEL, f"{what(case, option)} is tight: {reason}", help_text, place(case, case.deployment.model)
        )
