"""What a rule says: a finding with its place, its level and the nearest way out."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from moesize.gate.document import Position

if TYPE_CHECKING:
    from moesize.gate.case import Case


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


class RuleModule(Protocol):
    """A module of `moesize.gate.findings`: its docstring is the rule's documentation page."""

    __doc__: str
    ID: str
    LEVEL: Level

    def check(self, case: "Case") -> Iterator[Finding]:
        """The findings of this rule on one deployment."""
        ...
