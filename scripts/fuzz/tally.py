"""Counts of a run, by surface."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.fuzz.case import Surface
from scripts.fuzz.watch import Outcome


@dataclass(slots=True)
class Tally:
    """Cases of one surface by how they ended, and the slowest."""

    surface: Surface
    cases: int = 0
    fits: int = 0
    not_fits: int = 0
    refused: int = 0
    failed: int = 0
    slowest_seconds: float = 0.0

    def add(self, outcome: Outcome) -> bool:
        """Counts a run; whether it failed."""
        self.cases += 1
        self.slowest_seconds = max(self.slowest_seconds, outcome.seconds)
        if outcome.problems:
            self.failed += 1
        elif outcome.status == 0:
            self.fits += 1
        elif outcome.status == 1:
            self.not_fits += 1
        else:
            self.refused += 1
        return bool(outcome.problems)

    def line(self) -> str:
        """The counts for a terminal."""
        ended = f"{self.fits:6} status 0 {self.not_fits:6} status 1 {self.refused:6} status 2"
        return f"{self.surface.name:14} {self.cases:6} cases {ended} {self.failed:4} failed, slowest {self.slowest_seconds:.2f} s"


def table(tallies: Sequence[Tally]) -> str:
    """The counts as Markdown."""
    rows = [
        "| surface | what is mutated | cases | status 0 | status 1 | status 2 | failed | slowest |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in tallies:
        counts = f"{one.cases:,} | {one.fits:,} | {one.not_fits:,} | {one.refused:,} | {one.failed} | {one.slowest_seconds:.2f} s"
        rows.append(f"| {one.surface.name} | {one.surface.what} | {counts} |")
    sums = [sum(getattr(one, key) for one in tallies) for key in ("cases", "fits", "not_fits", "refused", "failed")]
    rows.append(
        "| **all** | | "
        + " | ".join(f"**{n:,}**" for n in sums)
        + f" | {max(one.slowest_seconds for one in tallies):.2f} s |"
    )
    return "\n".join(rows) + "\n"
