"""Specs a repository keeps for models the catalogue has not: `<folder>/<org>/<name>.yaml`, by `moesize lock`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moesize.errors import InputError, MoesizeError
from moesize.gate.discover import read_text
from moesize.gate.document import Chunk, DocumentError
from moesize.gate.parsing import parse
from moesize.model.catalogue import find, knows
from moesize.model.names import canonical
from moesize.model.spec import ModelSpec
from moesize.model.spec_file import load_spec_file

#: Where `moesize lock` writes and `moesize gate` looks, below the root.
LOCK_FOLDER: Final = Path(".moesize") / "models"
_MAX_BYTES: Final = 2**20


@dataclass(slots=True)
class LockedModels:
    """The locked specs of a tree, listed at the first question and read when asked for."""

    folder: Path
    _paths: dict[str, Path] | None = field(default=None)

    def find(self, name: str) -> ModelSpec | None:
        """The spec locked for a Hub id; None when there is none.

        Raises:
            InputError: a spec file that cannot be read.
        """
        if self._paths is None:
            files = sorted(self.folder.glob("*/*.yaml")) if self.folder.is_dir() else []
            self._paths = {canonical(f"{path.parent.name}/{path.stem}"): path for path in files}
        path = self._paths.get(canonical(name)) if "/" in name else None
        return None if path is None else _read(path)


def _read(path: Path) -> ModelSpec:
    """A spec that came with the repository: bounded before it is parsed as ours are."""
    try:
        text = read_text(path)
    except InputError as error:
        raise InputError(f"{path} {error}") from None
    if len(text) > _MAX_BYTES:
        raise InputError(f"{path} is larger than a spec can be")
    try:
        parse(Chunk(str(path), text, 0))
    except DocumentError as error:
        raise InputError(f"{path}:{error.line}: {error}") from None
    return load_spec_file(path)


@dataclass(frozen=True, slots=True)
class Locked:
    """What locking did with one model: the file written, or why none was."""

    model: str
    path: Path | None
    why: str
    failed: bool = False


def lock_models(names: list[str], folder: Path) -> list[Locked]:
    """Write the specs of the Hub ids the catalogue does not have into `folder`; asks the Hub."""
    done: list[Locked] = []
    for name in names:
        repository = name.partition("@")[0]
        owner = repository.partition("/")[0]
        kept = folder / owner.lower() / f"{repository.partition('/')[2].lower()}.yaml"
        if kept.is_file():
            done.append(Locked(name, kept, "kept"))
            continue
        if knows(repository):
            done.append(Locked(name, None, f"in the catalogue as {find(repository).name}"))
            continue
        try:
            from moesize.model.adding import add_model  # noqa: PLC0415  asks the Hub

            done.append(Locked(name, add_model(name, folder / owner.lower()), "written"))
        except MoesizeError as error:
            if kept.is_file():  # written by another run in the meantime
                done.append(Locked(name, kept, "kept"))
            else:
                done.append(Locked(name, None, str(error), failed=True))
    return done
