"""Specs a repository keeps for models the catalogue has not: `<folder>/<org>/<name>.yaml`, by `moesize lock`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moesize.errors import MoesizeError
from moesize.gate.confined import read_spec
from moesize.model.catalogue import find, knows
from moesize.model.names import canonical
from moesize.model.spec import ModelSpec

#: Where `moesize lock` writes and `moesize gate` looks, below the root.
LOCK_FOLDER: Final = Path(".moesize") / "models"


@dataclass(slots=True)
class LockedModels:
    """The locked specs below a root, listed at the first question and read when asked for."""

    root: Path
    _paths: dict[str, Path] | None = field(default=None)

    def find(self, name: str) -> ModelSpec | None:
        """The spec locked for a Hub id; None when there is none.

        Raises:
            MoesizeError: a spec file that cannot be read, or leads out of the tree.
        """
        path = self.path(name)
        return None if path is None else read_spec(path, self.root)

    def path(self, name: str) -> Path | None:
        """The file locked for a Hub id."""
        if self._paths is None:
            self._paths = {canonical(f"{path.parent.name}/{path.stem}"): path for path in self.files()}
        return self._paths.get(canonical(name)) if "/" in name else None

    def files(self) -> list[Path]:
        """All locked specs, sorted."""
        folder = self.root / LOCK_FOLDER
        return sorted(folder.glob("*/*.yaml")) if folder.is_dir() else []


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
