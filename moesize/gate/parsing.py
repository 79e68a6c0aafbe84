"""YAML and JSON read into nodes without trusting them.

Built from the parser's events, one after the other: nothing is constructed, nothing recurses, and depth, size and
what aliases expand to are bounded while reading, so a bomb costs as little as the first byte that is too much.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import yaml

from moesize.errors import printable
from moesize.gate.document import MAX_DEPTH, Chunk, Document, DocumentError, Node, RepeatedKey, from_plain

#: Values one document may hold, counting what each alias stands for.
MAX_VALUES: Final = 200_000

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: A key that is no scalar, such as the `{{HF_TOKEN}}` of an unrendered template.
_UNREADABLE_KEY: Final = "{{…}}"


def parse(chunk: Chunk) -> list[Document]:
    """The documents of a chunk: one, or none where there are only comments.

    Raises:
        DocumentError: not YAML, nested or aliased beyond the limits; carries the line.
    """
    text = chunk.text
    is_json = chunk.file.endswith(".json")
    if is_json:
        text = text.replace("\t", " ")  # a tab cannot stand inside a JSON string, and YAML refuses it as indentation
    try:
        return list(_Builder(chunk.file, chunk.lines_before).build(text))
    except yaml.YAMLError as error:
        if is_json and (document := _parse_json(text, chunk.file)):
            return [document]
        mark = getattr(error, "problem_mark", None)
        line = chunk.lines_before + (mark.line + 1 if mark else 1)
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        raise DocumentError(f"not valid YAML: {printable(str(why))}", line) from None


class _Builder:
    """Turns the events of one chunk into nodes."""

    def __init__(self, file: str, lines_before: int) -> None:
        self.file = file
        self.base = lines_before + 1
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.repeated: list[RepeatedKey] = []
        self.weight = 0

    def build(self, text: str) -> Iterator[Document]:
        """Nodes of every document in `text`."""
        stack: list[_Frame] = []
        root: Node | None = None
        events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                node = self._scalar(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                stack.append(self._open(event, len(stack)))
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                node = self._close(stack.pop())
            elif kind is yaml.AliasEvent:
                node = self._alias(event)
            else:
                if kind is yaml.DocumentEndEvent:
                    if root is not None:
                        yield Document(self.file, root, tuple(self.repeated))
                    root, self.repeated, self.weight = None, [], 0
                    self.anchors.clear()
                continue
            if self.weight > MAX_VALUES:
                line = event.start_mark.line + self.base
                raise DocumentError(f"more than {MAX_VALUES:,} values, counting aliases", line, complexity=True)
            if stack:
                self._place(stack[-1], node)
            else:
                root = node

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        self.weight += 1
        mark: Any = event.start_mark
        line, column = mark.line + self.base, mark.column + 1
        block = event.style in ("|", ">")
        node = Node(event.value, self.file, line, column, plain=event.implicit[0], block=block)
        if event.anchor:
            self.anchors[event.anchor] = (node, 1)
        return node

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, depth: int) -> "_Frame":
        mark: Any = event.start_mark
        if depth >= MAX_DEPTH:
            raise DocumentError(f"nested deeper than {MAX_DEPTH} levels", mark.line + self.base, complexity=True)
        value: Any = {} if type(event) is yaml.MappingStartEvent else []
        before = self.weight
        self.weight += 1
        return _Frame(Node(value, self.file, mark.line + self.base, mark.column + 1), event.anchor, before)

    def _close(self, frame: "_Frame") -> Node:
        if frame.merges:
            _merge(frame.node, frame.merges)
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.node, self.weight - frame.weight_before)
        return frame.node

    def _alias(self, event: yaml.AliasEvent) -> Node:
        # An anchor is known once its value is complete, so a value that holds itself is refused here.
        mark: Any = event.start_mark
        if event.anchor not in self.anchors:
            name = printable(str(event.anchor), 40)
            raise DocumentError(f"alias *{name} stands for nothing complete above it", mark.line + self.base)
        node, weight = self.anchors[event.anchor]
        self.weight += weight
        return node

    def _place(self, frame: "_Frame", node: Node) -> None:
        value = frame.node.value
        if isinstance(value, list):
            value.append(node)
        elif frame.key is None:
            frame.key = node
        elif isinstance(value, dict):
            key_node, frame.key = frame.key, None
            key = key_node.value if isinstance(key_node.value, str) else _UNREADABLE_KEY
            if key == "<<" and key_node.plain:
                frame.merges.append(node)
                return
            if key in value and key != _UNREADABLE_KEY:
                self.repeated.append(RepeatedKey(key, frame.key_lines[key], key_node.position))
            frame.key_lines[key] = key_node.line
            value[key] = node


class _Frame:
    """A collection that is still open."""

    __slots__ = ("anchor", "key", "key_lines", "merges", "node", "weight_before")

    def __init__(self, node: Node, anchor: str | None, weight_before: int) -> None:
        self.node = node
        self.anchor = anchor
        self.weight_before = weight_before
        self.key: Node | None = None
        self.key_lines: dict[str, int] = {}
        self.merges: list[Node] = []


def _merge(node: Node, merges: list[Node]) -> None:
    """Apply `<<`: what is written beside it wins, then the first source that has the key."""
    target = node.value
    if not isinstance(target, dict):
        return
    for source in merges:
        for mapping in source.elements or (source,):
            for key, value in mapping.mapping.items():
                target.setdefault(key, value)


def _parse_json(text: str, file: str) -> Document | None:
    """JSON that YAML cannot read (surrogate escapes): the values without their lines; None if it is no JSON either."""
    try:
        return Document(file, from_plain(json.loads(text), file))
    except (ValueError, RecursionError):
        return None
