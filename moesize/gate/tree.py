"""What other documents of the same tree say: ConfigMaps, runtimes and profiles that a deployment refers to by name."""

import itertools
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Final

from moesize.errors import InputError
from moesize.gate.document import Chunk, Document, DocumentError, Node
from moesize.gate.parsing import parse

#: Kinds that others refer to.
_REFERRED: Final = re.compile(
    r"""^(?:["']?kind["']?|[ \t]+"kind")[ \t]*:[ \t]*["']?"""
    r"""(ConfigMap|ClusterServingRuntime|ServingRuntime|ClusterBaseModel|BaseModel)["']?[ \t]*,?[ \t]*\r?$""",
    re.MULTILINE,
)
_PROFILES: Final = re.compile(r"^(resourceProfiles|configMapGenerator)\s*:", re.MULTILINE)
_NAMES: Final = re.compile(r"""(?:^[ \t]+|[{,][ \t]*)["']?name["']?[ \t]*:[ \t]*["']?([\w.-]+)""", re.MULTILINE)
#: The name of an object stands among its first ones.
_MAX_NAMES: Final = 50
_MAX_ENV_LINES: Final = 10_000


class Tree:
    """Documents by kind and name, parsed when somebody asks; the one nearest to who asks answers."""

    def __init__(self, read_file: Callable[[str], str]) -> None:
        #: Text of a file called relative to the root; raises InputError.
        self._read_file = read_file
        self._chunks: dict[tuple[str, str], list[Chunk]] = {}
        self._parsed: dict[tuple[str, int], Document | None] = {}

    def add(self, chunk: Chunk) -> None:
        """Remember a document others may refer to."""
        match = _REFERRED.search(chunk.text)
        if match:
            found = itertools.islice(_NAMES.finditer(chunk.text), _MAX_NAMES)
            for name in dict.fromkeys(name.group(1) for name in found):
                self._chunks.setdefault((match.group(1), name), []).append(chunk)
        if top := _PROFILES.search(chunk.text):
            self._chunks.setdefault((top.group(1), ""), []).append(chunk)

    def find(self, kind: str, name: str, near: str) -> Node | None:
        """The object of a kind and name in the file nearest to `near`."""
        for chunk in self._nearest(self._chunks.get((kind, name), ()), near):
            document = self._parse(chunk)
            if document and document.root.text_at("metadata", "name") == name:
                return document.root
        return None

    def with_key(self, key: str, near: str) -> Iterator[Node]:
        """Documents with a top-level key others refer to, the nearest first."""
        for chunk in self._nearest(self._chunks.get((key, ""), ()), near):
            document = self._parse(chunk)
            if document:
                yield document.root

    def config_map(self, name: str, near: str) -> dict[str, Node]:
        """The data of a ConfigMap, or of a kustomize generator of its name."""
        found = self.find("ConfigMap", name, near)
        data = found.get("data") if found else None
        if data:
            return dict(data.mapping)
        for root in self.with_key("configMapGenerator", near):
            generators = root.get("configMapGenerator")
            for generator in generators.elements if generators else ():
                if generator.text_at("name") == name:
                    return self._generated(generator)
        return {}

    def env_file(self, path: str) -> dict[str, Node]:
        """`NAME=value` lines of a file of the tree.

        Raises:
            InputError: no such file, or none that can be read.
        """
        return read_env_file(self._read_file(path), path)

    def _generated(self, generator: Node) -> dict[str, Node]:
        data: dict[str, Node] = {}
        literals = generator.get("literals")
        for literal in literals.elements if literals else ():
            key, equals, value = (literal.text or "").partition("=")
            if equals:
                data[key] = Node(value, literal.file, literal.line, literal.column)
        envs = generator.get("envs")
        for env in envs.elements if envs else ():
            path = posixpath.normpath(posixpath.join(posixpath.dirname(env.file), env.text or ""))
            if path.startswith(("..", "/")):
                continue
            try:
                data.update(self.env_file(path))
            except InputError:
                continue
        return data

    def _nearest(self, chunks: "tuple[Chunk, ...] | list[Chunk]", near: str) -> list[Chunk]:
        return (
            sorted(chunks, key=lambda chunk: -len(posixpath.commonprefix([chunk.file, near])))
            if len(chunks) > 1
            else list(chunks)
        )

    def _parse(self, chunk: Chunk) -> Document | None:
        key = (chunk.file, chunk.lines_before)
        if key not in self._parsed:
            try:
                documents = parse(chunk)
            except DocumentError:
                documents = []
            self._parsed[key] = documents[0] if documents else None
        return self._parsed[key]


def read_env_file(text: str, file: str) -> dict[str, Node]:
    """`NAME=value` lines of an env file."""
    data: dict[str, Node] = {}
    for number, line in enumerate(text.splitlines()[:_MAX_ENV_LINES], start=1):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            data[name.strip()] = Node(value.strip().strip("\"'"), file, number)
    return data


def embedded(node: Node) -> Node | None:
    """The YAML inside a block scalar, placed at its own lines of the file; None where it is no YAML."""
    if node.text is None:
        return None
    try:
        documents = parse(Chunk(node.file, node.text, node.line if node.block else node.line - 1))
    except DocumentError:
        return None
    return documents[0].root if documents else None
