"""The rooms of the package in rows, what each really imports, and the picture of both."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parents[2] / "moesize"


class Row(NamedTuple):
    """Rooms that stand side by side; what they import stands in their own row or below."""

    title: str
    rooms: tuple[str, ...]


#: Top to bottom. A room is a module or a subpackage of `moesize`.
ROWS = (
    Row("the command line", ("cli", "entry", "__main__")),
    Row(
        "what a command answers with",
        (
            "report",
            "gate",
            "probe",
            "observe",
            "compare",
            "plan",
            "explain",
            "survey",
            "smallest",
            "api",
            "report_model",
        ),
    ),
    Row(
        "one question, answered",
        (
            "sizing",
            "answer",
            "advice",
            "calibration",
            "combinations",
            "curves",
            "layouts",
            "launch_lines",
            "question",
            "speculation",
            "speed",
            "verdict",
        ),
    ),
    Row("bytes and FLOPs", ("engines", "compute", "memory")),
    Row("facts", ("quant", "model", "hardware")),
    Row("ground", ("data", "files", "results", "units", "progress", "errors")),
)


class Import(NamedTuple):
    """One import statement: the module it stands in, what it names, and whether it runs when the module is imported."""

    module: str
    target: str
    at_load: bool


@cache
def imports() -> tuple[Import, ...]:
    """Every import in the package."""
    found: list[Import] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(("moesize", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        found += _of(ast.parse(path.read_text(encoding="utf-8")), module, at_load=True)
    return tuple(found)


def rooms() -> list[str]:
    """The modules and subpackages of the package, `__init__` apart."""
    folders = (path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    return sorted([*folders, *(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")])


def _of(node: ast.AST, module: str, *, at_load: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, alias.name, at_load) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            # `from moesize import x` names the room x; deeper modules already name their room
            names = [f"{child.module}.{alias.name}" for alias in child.names] if child.module == "moesize" else []
            yield from (Import(module, name, at_load) for name in names or [child.module])
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _for_checkers_only(child)
        yield from _of(child, module, at_load=at_load and not inside)


def _for_checkers_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def room_of(module: str) -> str | None:
    """The room a module of the package stands in; None for the package itself and what it defines (`__version__`)."""
    parts = module.split(".")
    if parts[0] != "moesize" or len(parts) == 1 or parts[1] == "__version__":
        return None
    return parts[1]


def room_imports() -> dict[str, set[str]]:
    """The rooms each room imports."""
    found: dict[str, set[str]] = {}
    for one in imports():
        here, there = room_of(one.module), room_of(one.target)
        if here and there and here != there:
            found.setdefault(here, set()).add(there)
    return found


def row_of(room: str) -> int:
    """The index of a room's row.

    Raises:
        ValueError: a room that stands in no row.
    """
    for index, row in enumerate(ROWS):
        if room in row.rooms:
            return index
    raise ValueError(f"{room} stands in no row of scripts/docgen/architecture.py")


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    path = PACKAGE / room / "__init__.py"
    text = ast.get_docstring(ast.parse((path if path.exists() else PACKAGE / f"{room}.py").read_text(encoding="utf-8")))
    return (text or "").split("\n\n")[0].replace("\n", " ").strip()


def table() -> str:
    """Every room with its purpose and its real imports, as Markdown."""
    found = room_imports()
    lines = ["| room | what it is | imports |", "| --- | --- | --- |"]
    for row in ROWS:
        for room in row.rooms:
            below = ", ".join(sorted(found.get(room, ()), key=lambda r: (row_of(r), r)))
            lines.append(f"| `{room}` | {purpose(room).replace('|', chr(92) + '|')} | {below or '–'} |")
    return "\n".join(lines) + "\n"


_WIDTH, _ROW, _GAP, _CHAR = 820, 64, 34, 7.6


def picture() -> str:
    """The rows as boxes, with an arrow between neighbours where one really imports from the other, as SVG."""
    found = room_imports()
    height = len(ROWS) * (_ROW + _GAP) - _GAP + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="t"',
        'font-family="system-ui, sans-serif" font-size="13">',
        '<title id="t">The rooms of moesize in rows; every import points to the same row or to one below it</title>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for index, row in enumerate(ROWS):
        top = 5 + index * (_ROW + _GAP)
        parts += [
            f'<rect x="5" y="{top}" width="{_WIDTH - 10}" height="{_ROW}" rx="6" fill="#eef2f7" stroke="#9fb3c8"/>',
            f'<text x="16" y="{top + 18}" fill="#486581" font-size="11">{row.title}</text>',
        ]
        x = 16.0
        for room in row.rooms:
            wide = len(room) * _CHAR + 16
            parts.append(
                f'<rect x="{x:g}" y="{top + 26}" width="{wide:g}" height="28" rx="4" fill="#fff" stroke="#627d98"/>'
                f'<text x="{x + wide / 2:g}" y="{top + 44}" text-anchor="middle" fill="#102a43">{room}</text>'
            )
            x += wide + 8
        if any(row_of(target) == index + 1 for room in row.rooms for target in found.get(room, ())):
            arrow = f"M{_WIDTH / 2:g} {top + _ROW} V{top + _ROW + _GAP - 2}"
            parts.append(f'<path d="{arrow}" stroke="#555" marker-end="url(#a)" fill="none"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
