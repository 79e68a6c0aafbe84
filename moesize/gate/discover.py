"""Files under the given paths, and their text: regular files of the tree only, bounded, in a stable order."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from moesize.errors import InputError, printable
from moesize.gate.document import Position
from moesize.gate.facts import Problem

#: Suffixes of files a folder is searched for; a file named on its own is read whatever its suffix.
SUFFIXES: Final = (".yaml", ".yml", ".json", ".tf", ".toml", ".py")
MAX_FILE_BYTES: Final = 16 * 2**20
MAX_DIRECTORY_DEPTH: Final = 64

_SKIPPED_DIRECTORIES: Final = frozenset(
    (".git", ".hg", ".svn", ".terraform", ".tox", ".venv", "venv", "node_modules", "__pycache__", "site-packages")
)

_Seen = set[tuple[int, int] | str]


def discover(paths: Iterable[Path], root: Path) -> Iterator[Path | Problem]:
    """Files to read, each once, sorted within their folder; problems for what is missing or leads out of `root`."""
    real_root = root.resolve()
    seen: _Seen = set()
    for path in paths:
        try:
            info = path.stat()
        except (OSError, ValueError) as error:
            yield Problem("missing", f"cannot be opened: {_reason(error)}", _place(path))
            continue
        if not stat.S_ISDIR(info.st_mode):
            if path.is_symlink() and not path.resolve().is_relative_to(real_root):
                yield Problem("outside", "is a link that leads out of the tree; not followed", _place(path))
            elif _new(path, info, seen):
                yield path
            continue
        if _new(path, info, seen):
            yield from _walk(path, real_root, seen, 0)


def _walk(folder: Path, real_root: Path, seen: _Seen, depth: int) -> Iterator[Path | Problem]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Problem("unreadable", f"folder cannot be listed: {_reason(error)}", _place(folder))
        return
    for entry in entries:
        path = folder / entry.name
        try:
            info = entry.stat()
        except OSError:  # a broken link or a loop of links
            yield from _broken_link(path)
            continue
        is_folder = stat.S_ISDIR(info.st_mode)
        if entry.name in _SKIPPED_DIRECTORIES if is_folder else not entry.name.endswith(SUFFIXES):
            continue
        if entry.is_symlink() and not path.resolve().is_relative_to(real_root):
            yield Problem("outside", "is a link that leads out of the tree; not followed", _place(path))
        elif not is_folder:
            if _new(path, info, seen):
                yield path
        elif depth >= MAX_DIRECTORY_DEPTH:
            yield Problem("too-complex", f"folders nested deeper than {MAX_DIRECTORY_DEPTH} levels", _place(path))
        elif _new(path, info, seen):
            yield from _walk(path, real_root, seen, depth + 1)


def _broken_link(path: Path) -> Iterator[Problem]:
    if path.name.endswith(SUFFIXES):
        yield Problem("unreadable", "is a link that leads nowhere", _place(path))


def read_text(path: Path) -> str:
    """The text of a regular file.

    Raises:
        InputError: no regular file (FIFO, device), larger than MAX_FILE_BYTES, binary or not UTF-8.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise InputError("is no regular file")
            if info.st_size > MAX_FILE_BYTES:
                raise InputError(f"is larger than {MAX_FILE_BYTES // 2**20} MiB")
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {_reason(error)}") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"is larger than {MAX_FILE_BYTES // 2**20} MiB")
    if b"\0" in data:
        raise InputError("is binary, or text in another encoding than UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start})") from None


def shown(path: Path, root: Path) -> str:
    """How a file is called in reports: relative to `root` where it lies below, with `/`."""
    try:
        return path.absolute().relative_to(root.absolute()).as_posix()
    except ValueError:
        return path.as_posix()


def _new(path: Path, info: os.stat_result, seen: _Seen) -> bool:
    key = (info.st_dev, info.st_ino) if info.st_ino else str(path)  # not every file system numbers its files
    if key in seen:
        return False
    seen.add(key)
    return True


def _place(path: Path) -> Position:
    return Position(path.as_posix())


def _reason(error: Exception) -> str:
    return printable(getattr(error, "strerror", None) or str(error))
