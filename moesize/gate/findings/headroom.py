"""Less memory stays free than the policy asks for.

`min-headroom` is an amount (`2GiB`) or a share of the engine's budget (`5%`), free on the fullest GPU beside
weights, activations, runtime and the cache of the asked length and concurrency. Engines fill the rest with cache:
headroom is room for more sequences, and for what was not counted.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import gibibytes, place, what
from moesize.gate.findings.base import Finding, Level

ID = "headroom"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU with less than what is asked."""
    demands = case.demands
    for option in case.options:
        evaluation = option.outcome.evaluation if option.outcome else None
        if evaluation is None or option.gpu is None or option.verdict == "oom":
            continue
        budget = evaluation.plan.budget_bytes
        wanted = max(demands.headroom_bytes, round(demands.headroom_share * budget))
        free = budget - evaluation.totals.total
        if wanted and free < wanted:
            text = f"{what(case, option)} leaves {gibibytes(free)} free a GPU; the policy asks for {gibibytes(wanted)}"
            yield Finding(
                ID, LEVEL, text, "a shorter length, or more memory", place(case, case.deployment.max_model_len)
            )
