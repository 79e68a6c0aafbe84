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
#: `--output -`, as elsewhere.
STDOUT = "-"


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
    if path is not None and str(path) != STDOUT:
        text = StringIO()
        console(text).print(what, crop=False)
        write(text.getvalue(), path)
        return
    # drawn whole before it is written: rich would end the process when the reader goes away
    target = console()
    with target.capture() as drawn:
        target.print(what, crop=False)
    write(drawn.get(), None)


def write(text: str, path: Path | None) -> None:
    """Write `text` to standard output, or to `path` in one step.

    Raises:
        InputError: it cannot be written; an older file is then as it was.
    """
    if path is None or str(path) == STDOUT:
        _to_stdout(text)
        return
    from moesize.files import replace_text  # noqa: PLC0415  only a file needs it

    try:
        replace_text(path, text)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None


def prepare() -> None:
    """Let commands write: a closed stream takes anything, one that is not UTF-8 shows `?` for what it cannot."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open until the process ends
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def flush() -> None:
    """Send what is still buffered.

    Raises:
        InputError: standard output cannot be written.
    """
    _to_stdout("")


def _to_stdout(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough (`| head`); the verdict stays the exit status
        _silence_stdout()
    except OSError as error:
        _silence_stdout()
        raise InputError(f"cannot write to standard output: {error.strerror or error}") from None


def _silence_stdout() -> None:
    """Nothing more is written, nor complained about when the process ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
