"""Whole processes measured side by side: time as ratios within one interleaved run, and the peak of resident memory.

Wall time is what a person waits; CPU time is what is left of it on a machine that others use.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: With them set the interpreter would compile every module anew, or look elsewhere for its standard library.
_HINDRANCES = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _HINDRANCES}


class Command(NamedTuple):
    """A process to start."""

    words: Sequence[str]
    env: Mapping[str, str] = ENVIRONMENT
    folder: Path | None = None


class Run(NamedTuple):
    """What one process took and said."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    status: int
    output: str
    error: str


class Figures(NamedTuple):
    """What several runs of one command took: medians."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    last: Run


def run(command: Command) -> Run:
    """One process from start to end. The kernel counts the peak; it is at least that of this small parent."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as error:
        start = time.perf_counter()
        process = subprocess.Popen(
            command.words, stdin=subprocess.DEVNULL, stdout=output, stderr=error, env=command.env, cwd=command.folder
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        error.seek(0)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        return Run(seconds, cpu_seconds, usage.ru_maxrss / 1024, process.returncode, output.read(), error.read())


def side_by_side(commands: Mapping[str, Command], runs: int) -> dict[str, Figures]:
    """Medians of `runs` rounds; every round starts every command once, so that a slow moment slows all alike."""
    taken: dict[str, list[Run]] = {name: [] for name in commands}
    for round_ in range(runs + 1):
        for name, command in commands.items():
            one = run(command)
            if round_:  # the first round writes bytecode and fills the file cache
                taken[name].append(one)
    return {
        name: Figures(
            statistics.median(one.seconds for one in several),
            statistics.median(one.cpu_seconds for one in several),
            statistics.median(one.peak_mib for one in several),
            several[-1],
        )
        for name, several in taken.items()
    }


def show(figures: Mapping[str, Figures], base: str, *, statuses: Sequence[int] = (0, 1)) -> None:
    """A line for each command: milliseconds, ratios to `base`, peak memory.

    Raises:
        RuntimeError: a command failed, so its time says nothing.
    """
    width = max(map(len, figures)) + 2
    print(f"{'':<{width}}{'wall':>11}{'ratio':>8}{'CPU ratio':>11}{'peak':>12}")
    for name, one in figures.items():
        if one.last.status not in statuses:
            raise RuntimeError(f"{name} ended with status {one.last.status}: {one.last.error[-500:]}")
        wall, cpu = one.seconds / figures[base].seconds, one.cpu_seconds / figures[base].cpu_seconds
        print(f"{name:<{width}}{one.seconds * 1000:8.0f} ms{wall:8.2f}{cpu:11.2f}{one.peak_mib:8.0f} MiB")
