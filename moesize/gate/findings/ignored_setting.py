"""A setting stands where nothing reads it.

Charts and platforms read the keys they know and drop the rest without a word: `extraArgs` one level too high, a
`nodeSelector` the chart calls `nodeSelectorTerms`, half a GPU that is cut to none. The deployment runs with the
default instead.

The way out is the place the finding names.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings.base import Finding, Level

ID = "ignored-setting"
LEVEL = Level.WARNING


def check(case: Case) -> Iterator[Finding]:
    """One finding per key nothing reads."""
    for note in case.deployment.notes:
        if note.kind == "ignored":
            yield Finding(
                ID,
                LEVEL,
                f"a setting has no effect: {note.text}",
                "move it to where it is read, or delete it",
                note.where,
            )
