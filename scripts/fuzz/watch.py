"""Runs one case in an empty folder, with the clock, the memory and the file system watched."""

import contextlib
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from moesize.cli.main import main
from scripts.fuzz import direct, expect
from scripts.fuzz.case import Case

CPU_SECONDS = 2.0
MEMORY_MIB = 256
#: What a command may write: what it was told to, and the folders of locked specs and of `model add`.
_WRITTEN = ("out", ".moesize", "x" * 300)


class _TooSlow(BaseException):
    """Raised by the alarm, in the middle of whatever takes so long."""


@dataclass(slots=True)
class Outcome:
    """How a run ended: exit status (None: it did not), seconds of processor time, and what did not hold."""

    status: int | None
    seconds: float
    problems: list[str] = field(default_factory=list)
    out: str = ""
    err: str = ""


Serve = Callable[[Case], "contextlib.AbstractContextManager[None]"]


def run(case: Case, serve: Serve | None = None) -> Outcome:
    """One case, and the same question with one thing more where it has one."""
    with _folder(case) as folder, serve(case) if serve else contextlib.nullcontext():
        before = _listing(folder)
        outcome = _command(case.words)
        outcome.problems += _written(folder, before, case)
        if case.then and outcome.status in (0, 1) and not outcome.problems:
            after = _command(case.then)
            outcome.problems += after.problems
            outcome.seconds = max(outcome.seconds, after.seconds)
            if after.status in (0, 1) and not after.problems:
                outcome.problems += expect.between(case.relation, expect.parsed(outcome.out), expect.parsed(after.out))
    return outcome


def _command(words: tuple[str, ...]) -> Outcome:
    streams = [
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, newline="")
        for errors in ("strict", "backslashreplace")
    ]
    memory = _peak_mib()
    begin = time.process_time()
    problems: list[str] = []
    status: int | None = None
    kept = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]), _alarm():
            status = direct.run(words) if words[0].startswith("@") else main(list(words))
    except _TooSlow:
        problems.append(f"more than {CPU_SECONDS} s: {_place()}")
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException as error:  # noqa: BLE001  whatever escapes is the finding
        problems.append(f"{type(error).__name__}: {str(error)[:300]} ({_place()})")
    finally:
        sys.stdin = kept
    seconds = time.process_time() - begin
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in streams)  # type: ignore[attr-defined]
    if _peak_mib() - memory > MEMORY_MIB:
        problems.append(f"{_peak_mib() - memory} MiB of memory")
    if status is not None:
        try:
            problems += expect.of_run(Case(words), status, out, err)
        except (KeyError, TypeError, AttributeError) as error:
            problems.append(f"an answer of another shape: {error!r}")
    return Outcome(status, seconds, problems, out, err)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Interrupts what takes more than `CPU_SECONDS` of processor time; time of other processes does not count."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise _TooSlow

    previous = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _place() -> str:
    """Where in the product it happened: the innermost of its frames."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    own = [frame for frame in frames if f"{os.sep}moesize{os.sep}" in frame.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}" if own else "?"


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextlib.contextmanager
def _folder(case: Case) -> Iterator[Path]:
    """The case's files in a folder that is the current one; beside it a file nothing may read."""
    kept = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        lay(case, Path(name))
        os.chdir(Path(name) / "tree")
        try:
            yield Path(name)
        finally:
            os.chdir(kept)


def lay(case: Case, folder: Path) -> None:
    """Writes a case's files below `folder/tree`, and what must stay unread below `folder/outside`."""
    outside, tree = folder / "outside", folder / "tree"
    outside.mkdir()
    (outside / "secret.yaml").write_text("model: CANARY/model\ngpu: CANARY\n")
    (outside / "secret.env").write_text("MODEL=CANARY/model\n")
    tree.mkdir()
    for path, data in case.files.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for path, to in case.links.items():
        (tree / path).symlink_to(to)


def _listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _written(folder: Path, before: set[str], case: Case) -> list[str]:
    """Files that appeared or vanished and were not asked for."""
    after = _listing(folder)
    stray = [p for p in sorted(after - before) if not _may_write(p.removeprefix("tree/"), case)]
    gone = sorted(before - after)
    for path in folder.glob("tree/*/"):
        if path.is_dir() and not path.is_symlink() and path.name not in {p.split("/")[0] for p in case.files}:
            shutil.rmtree(path, ignore_errors=True)
    return [*(f"wrote {path}" for path in stray), *(f"removed {path}" for path in gone)]


def _may_write(path: str, case: Case) -> bool:
    if path.startswith(_WRITTEN):
        return True
    # `--folder` makes the folder it is given
    return case.words[:1] in (("lock",), ("model",)) and not path.startswith(".") and "pwned" not in path
