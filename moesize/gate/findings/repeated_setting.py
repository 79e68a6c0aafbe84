"""A setting is given more than once, with different values.

In a flag line and in a map of keys the last one wins; a flag wins over a key of the chart's values, which win over
an environment variable. What the file seems to say first is then not what runs.

The way out: keep the one that is meant.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings.base import Finding, Level

ID = "repeated-setting"
LEVEL = Level.WARNING


def check(case: Case) -> Iterator[Finding]:
    """One finding per setting given twice."""
    for note in case.deployment.notes:
        if note.kind == "repeated":
            what = note.setting.replace("_", " ")
            yield Finding(ID, LEVEL, f"{what} is given twice: {note.text}", "keep the one that is meant", note.where)
