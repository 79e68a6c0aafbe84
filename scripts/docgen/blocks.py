"""Commands shown in README and docs: run, and their output written or compared.

A block fenced as `console` shows commands after `$ ` with what they print on 80 columns; `…` as the last line of an
output says that the rest is left out, and `$ echo $?` shows the exit status. In a block fenced as `sh`, lines that
call moesize are run without being shown. All run in a copy of `docs/examples/`, without a network. A page shows a file
after `<!-- file: path -->`.
"""

import io
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from moesize.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
#: Commands that ask the Hub, and so are not run.
ONLINE = ("moesize model add",)
LEFT_OUT = "…"
_FENCE = re.compile(r"^( *)```(console|sh)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^<!-- file: (\S+) -->\n(?:\n```\w+\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".py": "python", ".yaml": "yaml"}
#: Lines shown of an output whose end is left out when nobody has chosen how many.
_DEFAULT_LINES = 12
_ENVIRONMENT = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8"}


class Block(NamedTuple):
    """A fenced block: where its text stands in the page, its kind, and the text."""

    start: int
    end: int
    kind: str
    indent: str
    text: str


class Shown(NamedTuple):
    """A command and the lines printed under it."""

    command: str
    output: tuple[str, ...]


def pages() -> list[Path]:
    """README, the notes for contributors and every page of the docs."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page that hold commands."""
    for match in _FENCE.finditer(text):
        yield Block(match.start(3), match.end(3), match[2], match[1], match[3])


def shown(block: Block) -> Iterator[Shown]:
    """The commands of a console block with their outputs."""
    lines = [line.removeprefix(block.indent) for line in block.text.splitlines()]
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    for here, after in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Shown(lines[here][2:], tuple(lines[here + 1 : after]))


def commands(block: Block) -> Iterator[str]:
    """The lines of a shell block that call moesize, without comments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words[:1] == ["moesize"]:
                yield shlex.join(words)


@contextmanager
def playground() -> Iterator[None]:
    """A copy of the examples as the working directory, and the environment of a plain 80-column terminal."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "GITHUB_ACTIONS", "HF_ENDPOINT")}
        with chdir(folder), patch.dict(os.environ, {**kept, **_ENVIRONMENT}, clear=True):
            yield


def run(command: str) -> tuple[int, list[str]]:
    """Exit status and lines of a command, right-hand blanks stripped; call it inside `playground()`."""
    words = shlex.split(command)
    if words[:1] != ["moesize"]:
        raise ValueError(f"{command!r} is shown but does not call moesize")
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        status = main(words[1:])
    return status, [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]


def expected(block: Block) -> list[str]:
    """The lines a console block should have, as the commands print them now."""
    lines: list[str] = []
    status = 0
    for one in shown(block):
        lines.append(f"$ {one.command}")
        if one.command == "echo $?":
            lines.append(str(status))
            continue
        status, printed = run(one.command)
        if one.output and one.output[-1] == LEFT_OUT:
            wanted = len(one.output) - 1 or _DEFAULT_LINES
            printed = [*printed[:wanted], LEFT_OUT] if len(printed) > wanted else printed
        lines += printed
    return [f"{block.indent}{line}".rstrip() for line in lines]


def with_files(text: str) -> str:
    """A page with the files it shows as they are now."""

    def shown_file(match: re.Match[str]) -> str:
        path = ROOT / match[1]
        return f"<!-- file: {match[1]} -->\n\n```{_LANGUAGES[path.suffix]}\n{path.read_text(encoding='utf-8')}```\n"

    return _FILE.sub(shown_file, text)


def refreshed(text: str) -> str:
    """A page with its files and the output of every console block as they are now; call it inside `playground()`."""
    text = with_files(text)
    for block in reversed(list(blocks(text))):
        if block.kind == "console":
            text = text[: block.start] + "\n".join(expected(block)) + "\n" + text[block.end :]
    return text
