"""How long work tells what is done of it: a function called with done, total and what is at hand."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Progress = Callable[[int, int, str], None]
T = TypeVar("T")


def steps(items: Sequence[T], progress: Progress | None, name: Callable[[T], str]) -> Iterator[T]:
    """The items, one by one, with `progress` told of each before it is given out."""
    for done, item in enumerate(items):
        if progress is not None:
            progress(done, len(items), name(item))
        yield item
