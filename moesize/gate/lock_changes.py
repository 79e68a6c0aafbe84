"""What a change does to the locked specs of a tree: they decide what its servers are taken to be."""

from collections.abc import Iterator
from pathlib import Path

from moesize.errors import InputError, MoesizeError
from moesize.gate.cleaning import clean
from moesize.gate.confined import inside, read_spec
from moesize.gate.contradictions import differing, figures, words
from moesize.gate.discover import read_text, shown
from moesize.gate.locked import LockedModels
from moesize.gate.results import ChangeOut


def lock_changes(before: Path, after: Path) -> Iterator[ChangeOut]:
    """Locked specs that are new, gone or say something else, between two roots."""
    old, new = _by_place(before), _by_place(after)
    for place in sorted({*old, *new}):
        text = _text(old.get(place), new.get(place), before, after)
        if text:
            name = "/".join(Path(place).with_suffix("").parts[-2:])
            yield ChangeOut(clean(f"locked spec {name}"), clean(place), None, None, clean(text))


def _by_place(root: Path) -> dict[str, Path]:
    return {shown(path, root): path for path in LockedModels(root).files()}


def _text(old: Path | None, new: Path | None, before: Path, after: Path) -> str:
    if new is None:
        return "removed"
    if old is not None and _content(old, before) == _content(new, after):
        return ""
    try:
        now = read_spec(new, after)
    except MoesizeError as error:
        return f"cannot be read: {error}"
    said = figures(now)
    if old is not None:
        try:
            changed = differing(now, read_spec(old, before), tuple(said), tolerance=0)
        except MoesizeError:
            changed = []
        if changed:
            return f"now says {', '.join(changed)}"
        return f"changed: {words('parameters', said['parameters'])}"
    return f"new: {words('parameters', said['parameters'])}"


def _content(path: Path, root: Path) -> str | None:
    """What a file of the tree holds; None of one that cannot be read or leads out."""
    try:
        return read_text(path) if inside(path, root) else None
    except InputError:
        return None
