"""The deployment may land on a GPU the policy does not list.

`allowed-gpus` names the cards of a path by any name `moesize gpus` knows. Every card an any-of list or an ambiguous
name may mean must be among them.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import place
from moesize.gate.findings.base import Finding, Level

ID = "gpu-not-allowed"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per card that is not listed."""
    allowed = case.demands.allowed_gpus
    seen: set[str] = set()
    for option in case.options if allowed else ():
        gpu = option.gpu
        if gpu is None or gpu.id in seen or gpu.id.partition(":")[0] in allowed:
            continue
        seen.add(gpu.id)
        where = place(case, option.choice.name if option.choice else None)
        yield Finding(
            ID, LEVEL, f"{gpu.name} is not among the policy's allowed GPUs", f"one of {', '.join(allowed)}", where
        )
