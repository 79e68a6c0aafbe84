"""The policy of a tree: defaults, demands and ignores, from `moesize.toml` or `[tool.moesize]` of `pyproject.toml`.

```toml
fail-on = "error"                       # error, warning, undecided, note, never, or a list of them and of rule ids
gpu = "H100-80GB"                       # GPU of deployments whose files name none
context = 8192                          # every server must take sequences this long
concurrency = 4                         # and hold this many at once
min-headroom = "2GiB"                   # or "5%" of the budget, free on the fullest GPU
allowed-gpus = ["H100-80GB", "L40S"]
max-price = 12.5                        # USD an hour of one copy
baseline = "moesize-baseline.json"      # paths lie in the tree, or beside a policy from elsewhere
pools = { "gpu-large" = "H200" }        # GPU by the name of a pool, compute class or label value
models = { "/models/main" = "mixtral-8x7b" }
levels = { tight = "error", wasteful = "off" }

[[override]]                            # the keys above but for fail-on and baseline, for some paths; later ones win
paths = ["deploy/dev/**"]
context = 2048

[[ignore]]
rule = "wasteful"
paths = ["deploy/prod/**"]              # optional
object = "Deployment/serving/*"         # optional
reason = "latency target"
until = 2027-01-31                      # optional; the last day it holds
```
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from moesize.errors import InputError, UnknownNameError, printable
from moesize.gate.confined import inside
from moesize.gate.demands import Demands
from moesize.gate.discover import read_text
from moesize.gate.document import Position
from moesize.gate.findings.base import Level
from moesize.gate.globs import matches_any
from moesize.gate.policy_values import known_gpu, only_known, shown_path, tables, texts, with_demands
from moesize.gate.rules import RULES

#: Looked for in the root, in this order; the last one counts only where it has the table.
FILES: Final = ("moesize.toml", ".moesize.toml", "pyproject.toml")
NEVER: Final = "never"
#: What a reference of `[models]` ends with when it is a spec file instead of a name.
SPEC_SUFFIXES: Final = (".yaml", ".yml", ".json")
_DEMANDS: Final = (
    *("gpu", "pools", "models", "context", "concurrency", "min-headroom", "allowed-gpus", "max-price", "levels"),
)
_TOP: Final = (*_DEMANDS, "fail-on", "baseline", "override", "ignore")
_IGNORE: Final = ("rule", "paths", "object", "reason", "until")


@dataclass(frozen=True, slots=True)
class Ignore:
    """One ignore of the policy: a rule, where, why and until when."""

    rule: str
    paths: tuple[str, ...]
    object: str | None
    reason: str
    until: date | None

    def covers(self, rule: str, file: str, identity: str) -> bool:
        """Whether it is about this finding."""
        if self.rule != rule or not (not self.paths or matches_any(file, self.paths)):
            return False
        return self.object is None or fnmatchcase(identity, self.object)


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a run.

    `reach` is the folder its paths lead no further than: the tree it is part of, or its own folder where it comes from
    elsewhere.
    """

    path: Path | None = None
    reach: Path = field(default_factory=Path)
    demands: Demands = field(default_factory=Demands)
    overrides: tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...] = ()
    fail_on: frozenset[str] = frozenset((Level.ERROR,))
    ignores: tuple[Ignore, ...] = ()
    baseline: str | None = None

    def file(self, reference: str, key: str) -> Path:
        """The file one of its keys names, relative to its folder.

        Raises:
            InputError: it leads out of `reach`.
        """
        path = (self.path.parent if self.path else self.reach) / reference
        if not inside(path, self.reach):
            raise InputError(
                f"{shown_path(self.path)}: {key} names {printable(reference)!r}, which leads out of"
                f" {printable(str(self.reach.resolve()))}; keep the file there"
            )
        return path

    @property
    def place(self) -> Position:
        """Where findings about the policy itself stand."""
        return Position(self.path.name if self.path else FILES[0])

    def demands_for(self, file: str) -> Demands:
        """The demands on a file, its overrides applied."""
        found = self.demands
        for paths, document in self.overrides:
            if matches_any(file, paths):
                found = with_demands(document, found, shown_path(self.path))
        return found


def find_policy(root: Path) -> Path | None:
    """The policy file of a tree.

    Raises:
        InputError: one that leads out of the tree.
    """
    for name in FILES:
        path = root / name
        if path.is_file():
            _refuse_outside(path, root)
        if path.is_file() and (name != "pyproject.toml" or "moesize" in _load(path).get("tool", {})):
            return path
    return None


def load_policy(path: Path | None, root: Path | None = None) -> Policy:
    """The policy of a file of the tree at `root`, or of one from elsewhere; the built-in one when None.

    Raises:
        InputError: unreadable, not TOML, an unknown key, a value that cannot be, or a path that leads too far; names
            the file and the key.
    """
    if path is None:
        return Policy()
    reach = _reach(path, root)
    document = _load(path)
    if path.name == "pyproject.toml":
        document = document.get("tool", {}).get("moesize", {})
    shown = shown_path(path)
    only_known(document, _TOP, shown)
    overrides = []
    for entry in tables(document, "override", shown):
        only_known(entry, (*_DEMANDS, "paths"), f"{shown}: override")
        if not texts(entry, "paths", shown):
            raise InputError(f"{shown}: an override says for which `paths`")
        own = {key: value for key, value in entry.items() if key != "paths"}
        with_demands(own, Demands(), shown)
        overrides.append((texts(entry, "paths", shown), own))
    baseline = document.get("baseline")
    if baseline is not None and not isinstance(baseline, str):
        raise InputError(f"{shown}: baseline is the path of a file")
    policy = Policy(
        path=path,
        reach=reach,
        demands=with_demands({k: v for k, v in document.items() if k in _DEMANDS}, Demands(), shown),
        overrides=tuple(overrides),
        fail_on=fail_on(document["fail-on"], shown) if "fail-on" in document else Policy().fail_on,
        ignores=tuple(_ignore(entry, shown) for entry in tables(document, "ignore", shown)),
        baseline=baseline,
    )
    # asked for now, so that a path that leads too far stops the run and not one deployment
    if baseline is not None:
        policy.file(baseline, "baseline")
    for demands in (policy.demands, *(with_demands(own, Demands(), shown) for _, own in overrides)):
        for reference in demands.models.values():
            if reference.endswith(SPEC_SUFFIXES):
                policy.file(reference, "models")
    return policy


def _reach(path: Path, root: Path | None) -> Path:
    if root is None:
        return path.parent
    _refuse_outside(path, root)
    return root if inside(path, root) else path.parent


def _refuse_outside(path: Path, root: Path) -> None:
    """A file written as one of the tree is one of the tree: whoever changes the tree could point it anywhere."""
    written = os.path.abspath(path), os.path.abspath(root)  # noqa: PTH100  as written: links not followed
    if Path(written[0]).is_relative_to(written[1]) and not inside(path, root):
        raise InputError(f"{shown_path(path)} is a link that leads out of {printable(str(root))}; not followed")


def fail_on(value: object, shown: str = "--fail-on") -> frozenset[str]:
    """Levels and rule ids that fail the build; a level brings the graver ones with it.

    Raises:
        InputError: a word that is neither a level nor a rule.
    """
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{shown}: fail-on is a level, or a list of levels and rules")
    found: set[str] = set()
    graver = {
        Level.ERROR: (Level.ERROR,),
        Level.WARNING: (Level.ERROR, Level.WARNING),
        Level.UNDECIDED: (Level.ERROR, Level.UNDECIDED),
        Level.NOTE: tuple(Level),
    }
    for word in (word.strip() for word in words):
        if word in tuple(Level):
            found.update(graver[Level(word)])
        elif word in RULES:
            found.add(word)
        elif word != NEVER:
            raise UnknownNameError("level or rule", word, [*Level, NEVER, *RULES])
    return frozenset(found)


def with_gpu(policy: Policy, gpu: str) -> Policy:
    """The policy with another default GPU, for every path.

    Raises:
        MoesizeError: a GPU nothing is known by.
    """
    known_gpu(gpu, "--gpu")
    overrides = tuple((paths, {k: v for k, v in own.items() if k != "gpu"}) for paths, own in policy.overrides)
    return replace(policy, demands=replace(policy.demands, gpu=gpu), overrides=overrides)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{shown_path(path)} is not valid TOML: {printable(str(error))}") from None
    except RecursionError:
        raise InputError(f"{shown_path(path)} is nested too deeply") from None
    except InputError as error:
        raise InputError(f"{shown_path(path)} {error}") from None


def _ignore(entry: Mapping[str, Any], shown: str) -> Ignore:
    only_known(entry, _IGNORE, f"{shown}: ignore")
    rule, reason, until = entry.get("rule"), entry.get("reason"), entry.get("until")
    if not isinstance(rule, str) or rule not in RULES:
        raise UnknownNameError("rule", str(rule), RULES, f"in {shown}: ignore")
    if not isinstance(reason, str) or not reason.strip():
        raise InputError(f"{shown}: the ignore of {rule} gives no reason")
    if isinstance(until, datetime):
        until = until.date()
    if until is not None and not isinstance(until, date):
        raise InputError(
            f"{shown}: the ignore of {rule} is until {printable(repr(until), 40)}; write a date like 2027-01-31"
        )
    about = entry.get("object")
    if about is not None and not isinstance(about, str):
        raise InputError(f"{shown}: the ignore of {rule} is about no object: {printable(repr(about), 40)}")
    return Ignore(rule, texts(entry, "paths", shown), about, reason.strip(), until)
