"""A bar on standard error for what takes longer than half a second, on a terminal alone.

A Hub that does not answer, a card at its limit: nobody should wonder whether anything still happens. A pipe, a file or
`--quiet` gets none of it, and what is done sooner draws nothing.
"""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from threading import Timer

    from rich.progress import Progress, TaskID

_AFTER_SECONDS = 0.5


class Bar:
    """Told what is done; draws once it has taken long enough to be asked about.

    Without a call it pulses beside `what`. Use it as a context, and as the `progress` of what reports its steps.
    """

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._on = not quiet and sys.stderr.isatty()
        self._timer: Timer | None = None
        self._drawn: tuple[Progress, TaskID] | None = None
        self._done: tuple[int, int | None] = (0, None)

    def __call__(self, done: int, total: int, what: str) -> None:
        """`done` of `total` are finished; `what` is the one at hand."""
        self._what, self._done = what, (done, total)
        if self._drawn is not None:
            bar, task = self._drawn
            bar.update(task, completed=done, total=total, description=what)

    def __enter__(self) -> Self:
        if self._on:
            from threading import Timer  # noqa: PLC0415  only a terminal waits to be told

            self._timer = Timer(_AFTER_SECONDS, self._draw)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._drawn is not None:
            self._drawn[0].stop()

    def _draw(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        # names come from untrusted files: no markup
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        done, total = self._done
        task = bar.add_task(self._what, total=total, completed=done)
        bar.start()
        self._drawn = (bar, task)
