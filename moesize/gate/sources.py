"""The documents inside a file, by what kind of file it is: YAML and JSON as they are, others that hold some."""

import ast
import re
import tomllib
import warnings
from collections.abc import Iterator
from typing import Final

from moesize.gate.document import Chunk, Document, DocumentError, Node, from_plain, split

_HEREDOC: Final = re.compile(r"<<[-~]?\s*([A-Z_a-z]\w*)[ \t]*\r?\n")
_MAX_HEREDOCS: Final = 1_000
_MAX_PYTHON_CHARACTERS: Final = 200_000


def chunks(text: str, file: str) -> Iterator[Chunk]:
    """Documents still to be parsed: of YAML and JSON files, and of heredocs in Terraform files."""
    if file.endswith(".tf"):
        yield from _heredocs(text, file)
    elif not file.endswith((".py", ".toml")):
        yield from split(text, file)


def documents(text: str, file: str) -> Iterator[Document]:
    """Documents of files that are no YAML: BentoML's pyproject.toml, Ray Serve's Python.

    Raises:
        DocumentError: not TOML, or nested beyond the limits.
    """
    if file.endswith(".toml") and "tool.bentoml" in text:
        try:
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise DocumentError(f"not valid TOML: {type(error).__name__}", 1) from None
        before = text.find("[tool.bentoml.build.args]")
        yield Document(file, from_plain(data, file, text.count("\n", 0, max(before, 0)) + 1))
    elif file.endswith(".py") and "LLMConfig(" in text and len(text) <= _MAX_PYTHON_CHARACTERS:
        configs = list(_llm_configs(text, file))
        if configs:
            yield Document(
                file, Node({"llm_configs": Node(configs, file), "name": Node(file.rpartition("/")[2], file)}, file)
            )


def _heredocs(text: str, file: str) -> Iterator[Chunk]:
    """`<<-EOT … EOT` blocks without their common indentation."""
    position, line = 0, 0
    for _ in range(_MAX_HEREDOCS):
        match = _HEREDOC.search(text, position)
        if match is None:
            return
        end = re.compile(rf"^[ \t]*{match.group(1)}[ \t]*\r?$", re.MULTILINE).search(text, match.end())
        stop = end.start() if end else len(text)
        line += text.count("\n", position, match.end())
        body = text[match.end() : stop]
        for chunk in split(_dedent(body), file):
            yield Chunk(file, chunk.text, chunk.lines_before + line)
        line += body.count("\n")
        position = stop


def _dedent(body: str) -> str:
    lines = body.split("\n")
    indent = min((len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()), default=0)
    return "\n".join(line[indent:] for line in lines)


def _llm_configs(text: str, file: str) -> Iterator[Node]:
    """`LLMConfig(…)` calls with literal arguments, as the mappings a Serve configuration file would hold."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in somebody else's file
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "LLMConfig":
            found = _literal(node, file, 0)
            if found is not None:
                yield found


def _literal(node: ast.expr, file: str, depth: int) -> Node | None:
    line, column = node.lineno, node.col_offset + 1
    if depth > 20:
        return None
    entries: list[tuple[str, ast.expr]] | None = None
    if isinstance(node, ast.Call):  # LLMConfig(…), dict(…), ModelLoadingConfig(…)
        entries = [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        entries = [(str(k.value), v) for k, v in pairs if isinstance(k, ast.Constant)]
    if entries is not None:
        found = {key: value for key, item in entries if (value := _literal(item, file, depth + 1)) is not None}
        return Node(dict(found), file, line, column)
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool):
        text = str(node.value).lower() if isinstance(node.value, bool) else str(node.value)
        return Node(text, file, line, column, plain=not isinstance(node.value, str))
    return None
