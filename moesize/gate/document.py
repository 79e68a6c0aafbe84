"""Documents as trees in which every value knows its file and line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from moesize.errors import InputError, printable

MAX_DEPTH: Final = 100
_DOCUMENT_START: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where something stands; lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{printable(self.file, 300)}:{self.line}"


class Node:
    """One value of a document: a scalar's text, a mapping or a sequence, and its place."""

    __slots__ = ("block", "column", "file", "line", "plain", "value")

    def __init__(
        self,
        value: "str | dict[str, Node] | list[Node]",
        file: str,
        line: int = 1,
        column: int = 1,
        *,
        plain: bool = False,
        block: bool = False,
    ) -> None:
        self.value = value
        self.file = file
        self.line = line
        self.column = column
        #: Written without quotes: only such a scalar can be null, a number or a truth value.
        self.plain = plain
        #: Written as a `|` or `>` block: its text starts on the next line.
        self.block = block

    @property
    def position(self) -> Position:
        """Where the value stands."""
        return Position(self.file, self.line, self.column)

    @property
    def text(self) -> str | None:
        """The scalar as written; None for null, mappings and sequences."""
        if not isinstance(self.value, str) or (self.plain and self.value in _NULLS):
            return None
        return self.value

    @property
    def mapping(self) -> "Mapping[str, Node]":
        """The entries of a mapping; nothing for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def elements(self) -> "Sequence[Node]":
        """The elements of a sequence; nothing for anything else."""
        return self.value if isinstance(self.value, list) else ()

    @property
    def boolean(self) -> bool | None:
        """The truth value a scalar stands for, quoted or not."""
        return _BOOLEANS.get(self.value.lower()) if isinstance(self.value, str) else None

    def get(self, *keys: str) -> "Node | None":
        """The value below `keys`, or None where one of them is missing or its value is null."""
        node = self
        for key in keys:
            found = node.value.get(key) if isinstance(node.value, dict) else None
            if found is None:
                return None
            node = found
        return None if node.plain and isinstance(node.value, str) and node.value in _NULLS else node

    def text_at(self, *keys: str) -> str | None:
        """The scalar below `keys`, or None."""
        node = self.get(*keys)
        return node.text if node else None


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A key given twice in one mapping; the last one is what a loader keeps."""

    key: str
    first_line: int
    where: Position


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    file: str
    root: Node
    repeated_keys: tuple[RepeatedKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The text of one document, not parsed yet, and the line before its first."""

    file: str
    text: str
    lines_before: int


class DocumentError(InputError):
    """A document that is not YAML or goes beyond the limits."""

    def __init__(self, message: str, line: int, *, complexity: bool = False) -> None:
        super().__init__(message)
        self.line = line
        self.complexity = complexity


def split(text: str, file: str) -> Iterator[Chunk]:
    """The documents of a file as text: one that cannot be read must not hide the others.

    `---` in the first column starts a document wherever it stands, by the YAML specification.
    """
    starts = [match.start() for match in _DOCUMENT_START.finditer(text)]
    if not starts or starts[0] != 0:
        starts.insert(0, 0)
    line = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield Chunk(file, text[start:end], line)
        line += text.count("\n", start, end)


def from_plain(value: object, file: str, line: int = 1, *, depth: int = 0) -> Node:
    """Nodes of plain data that came from a parser without positions (JSON, TOML), all at `line`.

    Raises:
        DocumentError: nested deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise DocumentError(f"nested deeper than {MAX_DEPTH} levels", line, complexity=True)
    if isinstance(value, dict):
        return Node({str(k): from_plain(v, file, line, depth=depth + 1) for k, v in value.items()}, file, line)
    if isinstance(value, list):
        return Node([from_plain(v, file, line, depth=depth + 1) for v in value], file, line)
    if value is None:
        return Node("", file, line, plain=True)
    if isinstance(value, bool):
        return Node(str(value).lower(), file, line, plain=True)
    return Node(str(value), file, line, plain=not isinstance(value, str))
