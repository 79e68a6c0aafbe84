"""Two states of a tree compared: what a change adds to each GPU, and what becomes of the longest context."""

import io
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from moesize.errors import InputError, printable
from moesize.gate.lock_changes import lock_changes
from moesize.gate.locked import LOCK_FOLDER
from moesize.gate.results import ChangeOut, DeploymentOut, GateResult, GpuOut
from moesize.gate.run import Run
from moesize.units import gib

_TIMEOUT_SECONDS = 120
#: Contexts are told in units of 1,024 tokens from here on.
_SHORT_TOKENS = 10_000
#: Less than this is not worth a row: rounding of pages and driver constants.
_SAME_GIB = 0.005


def compared(run: Run, after: GateResult, paths: Iterable[Path], base: str) -> GateResult:
    """`after` with what changed since `base`, locked specs included: a folder laid out like the root or a git revision.

    Raises:
        InputError: neither a folder nor a revision, or a path outside the root.
    """
    relative = [_relative(path, run.root) for path in paths]
    with _tree(base, run.root, relative) as folder:
        present = [folder / path for path in relative if (folder / path).exists()]
        before: list[DeploymentOut] = []
        if present:
            earlier = replace(run, root=folder, allow_empty=True, baseline=frozenset())
            before = earlier.gate(present).deployments
        locks = list(lock_changes(folder, run.root))
    return replace(after, changes=[*_changes(before, after.deployments), *locks])


def _relative(path: Path, root: Path) -> Path:
    try:
        return path.absolute().relative_to(root.absolute())
    except ValueError:
        raise InputError(f"--diff compares paths below {root}; {printable(str(path))} is not") from None


@contextmanager
def _tree(base: str, root: Path, paths: list[Path]) -> Iterator[Path]:
    """The folder of `base`; a revision's files are taken out of git into a folder that goes again."""
    if Path(base).is_dir():
        yield Path(base)
        return
    if base.startswith("-"):
        raise InputError(f"--diff: {printable(base)!r} is neither a folder nor a git revision")
    top = Path(_git(root, "rev-parse", "--show-toplevel").decode(errors="surrogateescape").rstrip("\n"))
    commit = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").decode().strip()
    prefix = root.resolve().relative_to(top.resolve())
    # what a tree keeps for the gate belongs to it as well
    wanted = [prefix / path for path in (*paths, LOCK_FOLDER)]
    listed = _git(top, "ls-tree", "-r", "--name-only", "-z", commit).decode(errors="surrogateescape")
    entries = [PurePosixPath(entry) for entry in listed.split("\0") if entry]
    present = [path for path in wanted if path == Path() or any(entry.is_relative_to(path) for entry in entries)]
    with TemporaryDirectory(prefix="moesize-") as name:
        folder = Path(name)
        if present:
            words = ("--literal-pathspecs", "archive", "--format=tar", commit, "--", *map(str, present))
            _extract(_git(top, *words), folder)
        (folder / prefix).mkdir(parents=True, exist_ok=True)
        yield folder / prefix


def _git(root: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603  fixed words and a checked revision
            ["git", "-C", str(root), *words],  # noqa: S607  the user's git
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"--diff cannot run git: {printable(str(error))}") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip() or "no such revision (a shallow clone lacks older ones)"
        raise InputError(f"--diff: git finds nothing to compare with: {printable(why)}")
    return done.stdout


def _extract(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            # links of the old tree are not followed: files they lead to are in it themselves
            target = folder / member.name
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None and target.resolve().is_relative_to(folder.resolve()):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())


def _changes(before: list[DeploymentOut], after: list[DeploymentOut]) -> Iterator[ChangeOut]:
    """Deployments that are new, gone, or need other memory; matched by file and object, else by object alone."""
    left = {(one.file, one.object): one for one in before}
    pairs = [(left.pop((one.file, one.object), None), one) for one in after]
    by_object = {one.object: key for key, one in left.items()}
    for same_place, new in pairs:
        old = same_place or left.pop(by_object.get(new.object, ("", "")), None)
        text = _added(new) if old is None else _difference(old, new)
        if text:
            yield ChangeOut(new.object, new.file, old, new, text)
    for one in left.values():
        yield ChangeOut(one.object, one.file, one, None, "removed")


def _added(one: DeploymentOut) -> str:
    gpu = deciding_gpu(one)
    need = f", {gib(gpu.total_bytes):.1f} GiB a GPU" if gpu and gpu.total_bytes is not None else ""
    return f"new: {_verdict(one.verdict)}{need}"


def _difference(old: DeploymentOut, new: DeploymentOut) -> str:
    """What a reviewer wants to know, in one line; empty where nothing of it changed."""
    parts: list[str] = []
    if old.verdict != new.verdict:
        parts.append(f"{_verdict(old.verdict)} → {_verdict(new.verdict)}")
    for what, was, now in (("model", old.model, new.model), ("weights", old.quant, new.quant)):
        if was != now:
            parts.append(f"{what} {was or '–'} → {now or '–'}")
    was_gpu, now_gpu = deciding_gpu(old), deciding_gpu(new)
    if _gpus(old) != _gpus(new):
        parts.append(f"{_gpus(old)} → {_gpus(new)}")
    if was_gpu and now_gpu and was_gpu.total_bytes is not None and now_gpu.total_bytes is not None:
        added = gib(now_gpu.total_bytes - was_gpu.total_bytes)
        if abs(added) >= _SAME_GIB:
            parts.append(f"{'adds' if added > 0 else 'saves'} {abs(added):.1f} GiB per GPU")
        if was_gpu.max_context != now_gpu.max_context:
            parts.append(f"largest context {_tokens(was_gpu.max_context)} → {_tokens(now_gpu.max_context)}")
    if old.context != new.context:
        parts.append(f"asked context {_tokens(old.context)} → {_tokens(new.context)}")
    return "; ".join(parts)


def deciding_gpu(one: DeploymentOut) -> GpuOut | None:
    """The GPU with the least left, among those with figures."""
    having = [gpu for gpu in one.gpus if gpu.headroom_bytes is not None]
    return min(having, key=lambda gpu: gpu.headroom_bytes or 0, default=None)


def _verdict(verdict: str) -> str:
    return {"oom": "does not fit"}.get(verdict, verdict)


def _gpus(one: DeploymentOut) -> str:
    return " or ".join(dict.fromkeys(f"{gpu.count or 1}× {gpu.name}" for gpu in one.gpus)) or "GPU not known"


def _tokens(count: int | None) -> str:
    if not count:
        return "none"
    return f"{count // 1024}k" if count >= _SHORT_TOKENS else f"{count:,}"
