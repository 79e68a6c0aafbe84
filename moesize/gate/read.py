"""Reading deployments from files: discover, split, parse what may concern a model server, hand it to the readers."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from moesize.errors import InputError, MoesizeError
from moesize.gate.assemble import complete
from moesize.gate.discover import discover, read_text, shown
from moesize.gate.document import Chunk, Document, DocumentError, Position
from moesize.gate.facts import Deployment, Note, Problem, ReadResult
from moesize.gate.manifests import read_document
from moesize.gate.parsing import parse
from moesize.gate.sources import chunks, documents
from moesize.gate.tree import Tree
from moesize.progress import Progress, steps

#: A document without any of these serves no model; most documents of a tree are passed over by this alone.
_WORDS: Final = (
    *("gpu", "model", "vllm", "sglang", "llama", "huggingface", "accelerator", "instancetype", "trtllm"),
    *("tensor-parallel", "tensor_parallel", "max-num-", "max_num_", "kv-cache", "kv_cache"),
)
#: Objects that serve nothing by their kind; definitions of custom kinds alone can be megabytes of YAML.
_IDLE: Final = re.compile(
    r"^kind:[ \t]*[\"']?(?:CustomResourceDefinition|Service|Secret|ConfigMap|ServiceAccount|Namespace|Ingress|HTTPRoute"
    r"|Gateway|NetworkPolicy|PersistentVolumeClaim|PersistentVolume|StorageClass|Certificate|Issuer|PodMonitor"
    r"|ServiceMonitor|PodDisruptionBudget|HorizontalPodAutoscaler|(?:Cluster)?Role(?:Binding)?"
    r"|(?:Mutating|Validating)WebhookConfiguration|APIService|PriorityClass|RuntimeClass)[\"']?[ \t]*\r?$",
    re.MULTILINE,
)
#: What a document beyond reading must hold to be worth a word.
_SERVING: Final = re.compile(
    r"vllm|sglang|llama|text-generation|tensorrt|trtllm|\.com/gpu|modelurl|^model\s*:", re.IGNORECASE | re.MULTILINE
)
_MAX_ITEMS: Final = 10_000


def read_deployments(paths: Iterable[Path], *, root: Path, progress: Progress | None = None) -> ReadResult:
    """Every model served by the files under `paths`; files are called relative to `root`, and none outside it is read.

    What cannot be read is told in `problems`; nothing is raised for the content of a file.
    """
    reading = _Reading(root)
    for path in steps(list(paths_of(paths, root, reading.problems)), progress, str):
        reading.add(path)
    deployments = sorted(reading.deployments(), key=lambda d: (d.where, d.name, d.role or ""))
    return ReadResult(tuple(deployments), tuple(sorted(reading.problems, key=_place)), reading.files, reading.documents)


def paths_of(paths: Iterable[Path], root: Path, problems: list[Problem]) -> Iterator[Path]:
    """The files to read; what cannot be reached goes to `problems`."""
    for found in discover(paths, root):
        if isinstance(found, Problem):
            problems.append(Problem(found.kind, found.text, Position(shown(Path(found.where.file), root))))
        else:
            yield found


class _Reading:
    """One run: texts first, so that documents may refer to each other in any order, then deployments."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self.files = 0
        self.documents = 0
        self._tree = Tree(self._read_beside)
        self._chunks: list[Chunk] = []
        self._parsed: list[Document] = []

    def add(self, path: Path) -> None:
        """Read one file; keep what may serve a model or be referred to."""
        file = shown(path, self.root)
        try:
            text = read_text(path)
            self.files += 1
            for document in documents(text, file):
                self.documents += 1
                self._parsed.append(document)
        except DocumentError as error:
            self.problems.append(Problem("invalid", str(error), Position(file, error.line)))
            return
        except InputError as error:
            kind = "too-large" if "larger than" in str(error) else "unreadable"
            self.problems.append(Problem(kind, str(error), Position(file)))  # type: ignore[arg-type]
            return
        for chunk in chunks(text, file):
            self.documents += 1
            self._tree.add(chunk)
            lowered = chunk.text.lower()
            if any(word in lowered for word in _WORDS) and not _IDLE.search(chunk.text):
                self._chunks.append(chunk)

    def deployments(self) -> Iterator[Deployment]:
        """What the files read serve."""
        for document in self._parsed:
            yield from self._read(document)
        for chunk in self._chunks:
            try:
                found = parse(chunk)
            except DocumentError as error:
                if error.complexity or _SERVING.search(chunk.text):
                    self.problems.append(_problem(chunk, error))
                continue
            for document in found:
                for item in _items(document):
                    yield from self._read(item)

    def _read(self, document: Document) -> Iterator[Deployment]:
        try:
            found = [complete(draft) for draft in read_document(document, self._tree)]
            yield from _with_repeated_keys(found, document)
        except MoesizeError as error:
            self.problems.append(Problem("invalid", str(error), document.root.position))

    def _read_beside(self, file: str) -> str:
        """Text of a file that one of the files read refers to, called relative to the root; never outside it."""
        path = self.root / file
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise InputError(f"{file} lies outside the tree")
        return read_text(path)


def _with_repeated_keys(found: list[Deployment], document: Document) -> list[Deployment]:
    """Keys given twice in one mapping, noted at the deployment that begins last before them."""
    for repeated in document.repeated_keys if found else ():
        before = [i for i, d in enumerate(found) if d.where.line <= repeated.where.line]
        nearest = max(before, key=lambda i: found[i].where) if before else 0
        text = f"{repeated.key} is given twice, first on line {repeated.first_line}; the last one counts"
        note = Note("repeated", repeated.key, text, repeated.where)
        found[nearest] = replace(found[nearest], notes=(*found[nearest].notes, note))
    return found


def _items(document: Document) -> Iterator[Document]:
    """The objects of a `kind: List`; otherwise the document itself."""
    items = document.root.get("items")
    if items is None or not (document.root.text_at("kind") or "").endswith("List"):
        yield document
        return
    for item in items.elements[:_MAX_ITEMS]:
        yield Document(document.file, item)


def _problem(chunk: Chunk, error: DocumentError) -> Problem:
    where = Position(chunk.file, error.line)
    if error.complexity:
        return Problem("too-complex", str(error), where)
    if "{{" in chunk.text:
        return Problem("template", "is a template; render it first (helm template, kustomize build)", where)
    return Problem("invalid", str(error), where)


def _place(problem: Problem) -> tuple[Position, str]:
    return problem.where, problem.kind
