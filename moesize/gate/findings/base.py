"""What a rule says: a finding with its place, its level and the nearest way out."""

from dataclasses import dataclass
from enum import StrEnum

from moesize.gate.document import Position


class Level(StrEnum):
    """How much a finding weighs. `undecided` is neither fit nor misfit: something is not known."""

    ERROR = "error"
    WARNING = "warning"
    UNDECIDED = "undecided"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule broken at one place: what is wrong, and what would make it right."""

    rule: str
    level: Level
    message: str
    help: str
    where: Position
