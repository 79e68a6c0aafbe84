"""Where results go: the terminal, a pipe, or a file that is replaced only when the new one is whole."""

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

from moesize.errors import InputError
from moesize.report.detail import Detail

PIPE_WIDTH = 100


def detail(*, quiet: bool, verbose: bool) -> Detail:
    """What `--quiet` and `--verbose` ask for.

    Raises:
        InputError: both at once.
    """
    if quiet and verbose:
        raise InputError("--quiet and --verbose contradict each other; leave one out")
    return Detail.VERDICT if quiet else Detail.ALL if verbose else Detail.USUAL


def answer(fmt: StrEnum, path: Path | None, *, text: Callable[[], RenderableType], json: Callable[[], str]) -> None:
    """Write an answer in the format asked for; Markdown is made of what text shows."""
    if fmt == "json":
        write(json(), path)
    elif fmt == "markdown":
        from moesize.report.markdown import document  # noqa: PLC0415  one format is loaded, the one asked for

        write(document(text()), path)
    else:
        show(text(), path)


def console(file: StringIO | None = None) -> Console:
    """The terminal as rich sees it; a pipe is `PIPE_WIDTH` wide unless COLUMNS says otherwise.

    What goes into a file is as wide, and without the terminal's colours.
    """
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def show(what: RenderableType, path: Path | None) -> None:
    """Print something rich draws, to the terminal or into a file."""
    if path is None:
        console().print(what, crop=False)
        return
    text = StringIO()
    console(text).print(what, crop=False)
    write(text.getvalue(), path)


def write(text: str, path: Path | None) -> None:
    """Write `text` to standard output, or to `path` in one step.

    Raises:
        InputError: the file cannot be written; an older one is then as it was.
    """
    if path is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    import tempfile  # noqa: PLC0415  only a file needs it

    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
