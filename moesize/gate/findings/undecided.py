"""Something is not known, so there is no verdict.

The model stands behind a path or a placeholder, no GPU type is named anywhere, a size refers to a value the files
do not give, the engine is none that is known. An undecided deployment is neither green nor red: it is counted and
shown, and fails the build when asked to (`--fail-on undecided`). What it needs is told as far as it can be: the
smallest card that fits.

The ways to decide it stand in the finding: an annotation (`moesize.dev/model`, `moesize.dev/gpu`,
`moesize.dev/quant`), an entry in the policy, or rendered manifests in place of templates.
"""

from collections.abc import Iterator

from moesize.gate.case import Case, Unknown
from moesize.gate.document import Position
from moesize.gate.findings._words import place
from moesize.gate.findings.base import Finding, Level

ID = "undecided"
LEVEL = Level.UNDECIDED


def check(case: Case) -> Iterator[Finding]:
    """One finding per missing fact; none where it does not fit anyway."""
    if case.verdict != "undecided":
        return
    for unknown in case.unknowns:
        yield Finding(ID, LEVEL, unknown.why, unknown.decide, _where(case, unknown))


def _where(case: Case, unknown: Unknown) -> Position:
    deployment = case.deployment
    if unknown.about == "model":
        return place(case, deployment.model)
    if unknown.about == "gpu":
        return place(case, deployment.gpus[0].name if deployment.gpus else deployment.gpu_count)
    if unknown.about == "quantization":
        return place(case, deployment.quantization, deployment.model)
    return deployment.where
