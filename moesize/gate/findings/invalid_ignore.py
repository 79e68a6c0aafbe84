"""An ignore has no effect: it has expired, gives no reason, or names a rule that does not exist.

An ignore without a reason or beyond its day is one nobody can judge any more; the finding it was for counts again.
"""

from moesize.gate.document import Position
from moesize.gate.findings.base import Finding, Level

ID = "invalid-ignore"
LEVEL = Level.WARNING


def finding(text: str, where: Position) -> Finding:
    """The finding of one ignore."""
    return Finding(ID, LEVEL, text, "give a reason and a day that is to come, or delete it", where)
