"""Files a tree names for itself: regular ones inside a folder, links followed to where they lead, and bounded."""

from pathlib import Path
from typing import Final

from moesize.errors import InputError, printable
from moesize.gate.discover import read_text
from moesize.gate.document import Chunk, DocumentError
from moesize.gate.parsing import parse
from moesize.model.spec import ModelSpec
from moesize.model.spec_file import load_spec_file

MAX_SPEC_BYTES: Final = 2**20
_MAX_BASES: Final = 8


def inside(path: Path, within: Path) -> bool:
    """Whether a path, with every link on its way followed, lies in a folder."""
    try:
        return path.resolve().is_relative_to(within.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a name no file system has
        return False


def read_spec(path: Path, within: Path) -> ModelSpec:
    """The model of a spec file that came with a tree, read as ours are once it and what it builds upon are bounded.

    Raises:
        MoesizeError: it leads out of `within`, cannot be read, is too large, or is no spec.
    """
    if path.suffix == ".json":
        _bounded_text(path, within)
        from moesize.model.loader import load_config_file  # noqa: PLC0415  few policies name a config.json

        return load_config_file(path, None)
    place = path
    for _ in range(_MAX_BASES):
        base = _base_of(place, within)
        if base is None or not _is_file(base):
            break
        place = base
    return load_spec_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file can be called this
        return False


def _base_of(path: Path, within: Path) -> Path | None:
    text = _bounded_text(path, within)
    try:
        documents = parse(Chunk(str(path), text, 0))
    except DocumentError as error:
        raise InputError(f"{path}:{error.line}: {error}") from None
    base = documents[0].root.text_at("base") if documents else None
    return None if base is None or "/" in base or "\0" in base else path.parent / f"{base}.yaml"


def _bounded_text(path: Path, within: Path) -> str:
    shown = printable(str(path))
    if not inside(path, within):
        raise InputError(f"{shown} leads out of {printable(str(within))}; not followed")
    try:
        text = read_text(path)
    except InputError as error:
        raise InputError(f"{shown} {error}") from None
    if len(text) > MAX_SPEC_BYTES:
        raise InputError(f"{shown} is larger than a spec can be")
    return text
