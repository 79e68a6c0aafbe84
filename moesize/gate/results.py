"""What a run of the gate answers (schema `moesize.gate/1`): every field is defined here, once.

Texts that come from files are printable and without secrets when they get here; what a format must escape beyond
that (workflow commands, HTML, XML) is the format's own task.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from moesize.gate.case import CaseVerdict

SCHEMA: Final = "moesize.gate/1"

Suppression = Literal["comment", "annotation", "policy", "baseline"]


@dataclass(slots=True, eq=False, repr=False)
class FactOut:
    """A value a file or an engine's default gives: `source` is stated, checkpoint, inferred or default."""

    value: str | int | float | bool
    source: str
    where: str | None


@dataclass(slots=True, eq=False, repr=False)
class GpuOut:
    """One GPU a deployment may run on and what it comes to; bytes are per GPU, of the fullest rank."""

    name: str
    count: int | None
    memory_bytes: int
    verdict: CaseVerdict
    oom_at: str | None
    budget_bytes: int | None
    weights_bytes: int | None
    kv_cache_bytes: int | None
    activation_bytes: int | None
    runtime_bytes: int | None
    total_bytes: int | None
    headroom_bytes: int | None
    max_context: int | None
    max_concurrency: float | None


@dataclass(slots=True, eq=False, repr=False)
class DeploymentOut:
    """One deployment and its verdict; `fingerprint` stays when lines move."""

    file: str
    line: int
    object: str
    kind: str
    namespace: str | None
    name: str
    container: str | None
    role: str | None
    format: str
    fingerprint: str
    verdict: CaseVerdict
    engine: str
    engine_version: str | None
    model: str | None
    model_as_written: str | None
    quant: str | None
    context: int | None
    concurrency: int | None
    tp: int | None
    pp: int | None
    dp: int | None
    ep: bool | None
    gpus: list[GpuOut]
    facts: dict[str, FactOut]
    notes: list[str]


@dataclass(slots=True, eq=False, repr=False)
class FindingOut:
    """One finding; `suppressed` says by what it is left alone, `reason` why.

    `deployment` is an index into the deployments of the result; None for findings about files and ignores.
    """

    rule: str
    level: str
    message: str
    help: str
    file: str
    line: int
    column: int
    object: str | None
    deployment: int | None
    fingerprint: str
    fails: bool
    suppressed: Suppression | None = None
    reason: str | None = None


@dataclass(slots=True, eq=False, repr=False)
class Summary:
    """Counts of a run."""

    files: int
    documents: int
    deployments: int
    fits: int
    tight: int
    oom: int
    refused: int
    undecided: int
    skipped: int
    errors: int
    warnings: int
    notes: int
    suppressed: int


@dataclass(slots=True, eq=False, repr=False)
class ChangeOut:
    """One deployment before and after, None where it is new or gone; or a locked spec, which has neither."""

    object: str
    file: str
    before: DeploymentOut | None
    after: DeploymentOut | None
    text: str


@dataclass(slots=True, eq=False, repr=False)
class GateResult:
    """The answer; `exit_status` is the same whatever the format."""

    schema: Literal["moesize.gate/1"]
    version: str
    exit_status: int
    summary: Summary
    deployments: list[DeploymentOut]
    findings: list[FindingOut]
    changes: list[ChangeOut] | None = field(default=None)

    def by_deployment(self) -> list[list[FindingOut]]:
        """The findings of each deployment."""
        found: list[list[FindingOut]] = [[] for _ in self.deployments]
        for one in self.findings:
            if one.deployment is not None:
                found[one.deployment].append(one)
        return found
