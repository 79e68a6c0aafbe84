"""A case: what is laid into an empty folder, and the command that is run there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """Files by path, the words of a command line, and for some what a changed question has to do with the first.

    A word list that begins with `@` names a reader of `direct.py`, for files no command takes.
    """

    words: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    #: Links by path, with where they lead.
    links: Mapping[str, str] = field(default_factory=dict)
    #: Files of a repository the Hub of the harness serves, and what goes wrong with one of them.
    repository: str | None = None
    served: Mapping[str, bytes] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    #: A second command, and what must hold between the two answers.
    then: tuple[str, ...] = ()
    relation: str = ""


class Surface(NamedTuple):
    """One place where input comes in: what makes its cases, from a random source and a number."""

    name: str
    what: str
    make: Callable[[Random, int], Case]


def random_of(seed: int, surface: str, index: int) -> Random:
    """The random source of one case: the same on every machine."""
    return Random(f"{seed}/{surface}/{index}")
