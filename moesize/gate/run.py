"""One run of the gate: read, judge, apply the rules, leave alone what is ignored, and sum up."""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

from moesize import __version__
from moesize.errors import InputError
from moesize.gate.baseline import Key, load_baseline
from moesize.gate.case import Case
from moesize.gate.estimator import Estimator
from moesize.gate.facts import Deployment
from moesize.gate.findings import unreadable_file
from moesize.gate.findings.base import Finding, Level
from moesize.gate.ignores import Ignores, Reason
from moesize.gate.judge import Judge
from moesize.gate.locked import LockedModels
from moesize.gate.lookup import Lookup
from moesize.gate.outputs import deployment_out, finding_out
from moesize.gate.policy import Policy
from moesize.gate.read import read_deployments
from moesize.gate.results import SCHEMA, DeploymentOut, FindingOut, GateResult, Summary
from moesize.gate.rules import RULES
from moesize.progress import Progress, steps

PASSED: Final = 0
FOUND: Final = 1
NO_ANSWER: Final = 2


@dataclass(slots=True)
class Run:
    """What a run needs beside its paths; one object serves the tree before a change and the tree after it."""

    root: Path
    policy: Policy = field(default_factory=Policy)
    baseline: frozenset[Key] = frozenset()
    online: bool = False
    allow_empty: bool = False
    #: Judge deployments that are switched off too.
    include_disabled: bool = False
    today: date = field(default_factory=date.today)
    estimator: Estimator = field(default_factory=Estimator)

    def gate(self, paths: Iterable[Path], progress: Progress | None = None) -> GateResult:
        """The result for some files and folders.

        Raises:
            InputError: a path that does not exist, or nothing that serves a model.
        """
        with _without_collections():
            read = read_deployments(paths, root=self.root, progress=progress)
        missing = [problem for problem in read.problems if problem.kind == "missing"]
        if missing:
            raise InputError(f"{missing[0].where.file} {missing[0].text}")
        served = [d for d in read.deployments if self._is_judged(d)]
        if not read.deployments and not self.allow_empty:
            raise InputError(
                f"no model is deployed by any of {read.files_read} files; check the paths, or pass --allow-empty"
            )
        lookup = Lookup(LockedModels(self.root), self.online, self.policy, self.estimator.specs)
        judge = Judge(lookup, self.estimator)
        ignores = Ignores(self.root, self.policy, self.today)
        deployments: list[DeploymentOut] = []
        findings: list[FindingOut] = []
        for index, deployment in enumerate(steps(served, progress, lambda one: one.where.file)):
            demands = self.policy.demands_for(deployment.where.file)
            case = judge.case(deployment, demands)
            deployments.append(deployment_out(case))
            found = _levelled(findings_of(case), demands.levels)
            findings += [self._out(one, deployment, index, ignores.reason(one, deployment)) for one in found]
        for one in (*map(unreadable_file.finding, read.problems), *ignores.check(tuple(served))):
            for levelled in _levelled([one], self.policy.demands_for(one.where.file).levels):
                findings.append(self._out(levelled, None, None, ignores.reason(levelled, None)))
        findings.sort(key=lambda one: (one.file, one.line, list(Level).index(Level(one.level)), one.rule, one.message))
        return GateResult(
            schema=SCHEMA,
            version=__version__,
            exit_status=FOUND if any(one.fails for one in findings) else PASSED,
            summary=_summary(read.files_read, read.documents_read, deployments, findings, len(read.deployments)),
            deployments=deployments,
            findings=findings,
        )

    def _is_judged(self, deployment: Deployment) -> bool:
        """Whether it runs, and on GPUs."""
        on_cpu = deployment.gpu_count is not None and deployment.gpu_count.value == 0
        return (deployment.enabled or self.include_disabled) and deployment.device is None and not on_cpu

    def _out(
        self, finding: Finding, deployment: Deployment | None, index: int | None, reason: Reason | None
    ) -> FindingOut:
        identity = deployment.identity if deployment else ""
        if reason is None and (finding.where.file, identity, finding.rule) in self.baseline:
            reason = Reason("in the baseline", "baseline")
        fails = reason is None and (finding.level in self.policy.fail_on or finding.rule in self.policy.fail_on)
        return finding_out(finding, deployment, index, reason, fails=fails)


def findings_of(case: Case) -> Iterator[Finding]:
    """What every rule finds in a case."""
    for rule in RULES.values():
        if rule.check is not None:
            yield from rule.check(case)


def baseline_keys(result: GateResult) -> list[Key]:
    """What a baseline of this result holds: all findings that fail and are not left alone otherwise."""
    return [
        (one.file, one.object or "", one.rule)
        for one in result.findings
        if one.suppressed in (None, "baseline") and one.level != Level.NOTE
    ]


def _levelled(findings: Iterable[Finding], levels: Mapping[str, Level | None]) -> Iterator[Finding]:
    """Findings at the levels the policy gives their rules; none of a rule that is off."""
    for one in findings:
        level = levels.get(one.rule, one.level)
        if level is not None:
            yield replace(one, level=level) if level is not one.level else one


def _summary(
    files: int, documents: int, deployments: list[DeploymentOut], findings: list[FindingOut], read: int
) -> Summary:
    verdicts = [one.verdict for one in deployments]
    counted = [one.level for one in findings if one.suppressed is None]
    return Summary(
        files=files,
        documents=documents,
        deployments=len(deployments),
        fits=verdicts.count("fits"),
        tight=verdicts.count("tight"),
        oom=verdicts.count("oom"),
        refused=verdicts.count("refused"),
        undecided=verdicts.count("undecided"),
        skipped=read - len(deployments),
        errors=counted.count(Level.ERROR),
        warnings=counted.count(Level.WARNING),
        notes=counted.count(Level.NOTE),
        suppressed=len(findings) - len(counted),
    )


@contextmanager
def _without_collections() -> Iterator[None]:
    """Reading makes many small objects that live to its end: looking for garbage among them is a third of its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def with_baseline(run: Run, path: Path | None) -> Run:
    """The run with the findings of a baseline file, or of the one its policy names.

    Raises:
        InputError: unreadable, or no baseline.
    """
    if path is None and run.policy.baseline is not None:
        path = run.policy.file(run.policy.baseline, "baseline")
    return replace(run, baseline=load_baseline(path)) if path is not None else run
