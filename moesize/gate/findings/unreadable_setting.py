"""A setting has a value the engine cannot take.

A length that is no number, a utilisation with a comma. The server stops at its command line.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings.base import Finding, Level

ID = "unreadable-setting"
LEVEL = Level.WARNING


def check(case: Case) -> Iterator[Finding]:
    """One finding per value that cannot be read."""
    for note in case.deployment.notes:
        if note.kind == "unreadable":
            what = note.setting.replace("_", " ")
            yield Finding(ID, LEVEL, f"{what} cannot be read: {note.text}", "a value the engine takes", note.where)
