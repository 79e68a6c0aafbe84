"""The gate's result for a terminal or a log: plain lines, one per deployment and finding, the tally last."""

from collections.abc import Iterator

from moesize.gate.results import DeploymentOut, FindingOut, GateResult
from moesize.report.detail import Detail
from moesize.report.gate.wording import VERDICTS, memory, tally, title, workflow_safe


def render(result: GateResult, detail: Detail = Detail.USUAL) -> str:
    """Everything, findings below the deployment they are about; the failing ones alone; or with every fact."""
    lines = _failing(result) if detail is Detail.VERDICT else _lines(result, facts=detail is Detail.ALL)
    return "".join(f"{workflow_safe(line)}\n" for line in lines)


def _failing(result: GateResult) -> Iterator[str]:
    for finding in result.findings:
        if finding.fails:
            yield f"{finding.file}:{finding.line}: {finding.level} {finding.rule}: {finding.message}"
    yield tally(result)


def _lines(result: GateResult, *, facts: bool) -> Iterator[str]:
    for one, findings in zip(result.deployments, result.by_deployment(), strict=True):
        yield f"{one.file}:{one.line}  {VERDICTS[one.verdict].upper()}  {title(one)}{_memory(one)}"
        for finding in findings:
            yield from _finding(finding)
        for name, fact in one.facts.items() if facts else ():
            yield f"    {name} = {fact.value} ({fact.source}{f', {fact.where}' if fact.where else ''})"
        for note in one.notes:
            yield f"    ({note})"
    for finding in result.findings:
        if finding.deployment is None:
            yield from _finding(finding)
    if result.changes is not None:
        yield ""
        yield "Changes:"
        for change in result.changes:
            yield f"  {change.file}  {change.object}: {change.text}"
        if not result.changes:
            yield "  none"
    yield tally(result)


def _memory(one: DeploymentOut) -> str:
    text = memory(one)
    return f", {text}" if text else ""


def _finding(finding: FindingOut) -> Iterator[str]:
    state = f" [left alone by {finding.suppressed}: {finding.reason}]" if finding.suppressed else ""
    yield f"  {finding.file}:{finding.line}: {finding.level} {finding.rule}: {finding.message}{state}"
    if not finding.suppressed and finding.help:
        yield f"      {finding.help}"
