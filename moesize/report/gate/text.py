"""The gate's result for a terminal or a log: lines nothing breaks, one per deployment and finding, the tally last."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from moesize.gate.results import DeploymentOut, FindingOut, GateResult
from moesize.report.detail import Detail
from moesize.report.gate.wording import VERDICTS, memory, tally, title, workflow_safe
from moesize.report.text import VERDICT_STYLE

_VERDICTS: Final = {**VERDICT_STYLE, "refused": VERDICT_STYLE["oom"], "undecided": "bold"}
_LEVELS: Final = {"error": VERDICT_STYLE["oom"], "warning": VERDICT_STYLE["tight"], "undecided": "bold", "note": ""}
_ASIDE: Final = "dim"


def styled(result: GateResult, detail: Detail = Detail.USUAL) -> RenderableType:
    """Everything, findings below the deployment they are about; the failing ones alone; or with every fact."""
    return Group(*_shown(result, detail))


def render(result: GateResult, detail: Detail = Detail.USUAL) -> str:
    """The same lines without colours."""
    return "".join(f"{line.plain}\n" for line in _shown(result, detail))


def _shown(result: GateResult, detail: Detail) -> Iterator[Text]:
    return _failing(result) if detail is Detail.VERDICT else _lines(result, facts=detail is Detail.ALL)


def _failing(result: GateResult) -> Iterator[Text]:
    for finding in result.findings:
        if finding.fails:
            yield _said(finding, indent="")
    yield _line((tally(result), "bold"))


def _lines(result: GateResult, *, facts: bool) -> Iterator[Text]:
    for one, findings in zip(result.deployments, result.by_deployment(), strict=True):
        verdict = (VERDICTS[one.verdict].upper(), _VERDICTS[one.verdict])
        yield _line(f"{one.file}:{one.line}  ", verdict, f"  {title(one)}{_memory(one)}")
        for finding in findings:
            yield from _finding(finding)
        for name, fact in one.facts.items() if facts else ():
            where = f", {fact.where}" if fact.where else ""
            yield _line((f"    {name} = {fact.value} ({fact.source}{where})", _ASIDE))
        for note in one.notes:
            yield _line((f"    ({note})", _ASIDE))
    for finding in result.findings:
        if finding.deployment is None:
            yield from _finding(finding)
    if result.changes is not None:
        yield _line("")
        yield _line(("Changes:", "bold"))
        for change in result.changes:
            yield _line(f"  {change.file}  {change.object}: {change.text}")
        if not result.changes:
            yield _line("  none")
    yield _line((tally(result), "bold"))


def _memory(one: DeploymentOut) -> str:
    text = memory(one)
    return f", {text}" if text else ""


def _finding(finding: FindingOut) -> Iterator[Text]:
    if finding.suppressed:
        line = _said(finding).append(workflow_safe(f" [left alone by {finding.suppressed}: {finding.reason}]"))
        line.stylize(_ASIDE)
        yield line
        return
    yield _said(finding)
    if finding.help:
        yield _line((f"      {finding.help}", _ASIDE))


def _said(finding: FindingOut, indent: str = "  ") -> Text:
    level = (finding.level, "" if finding.suppressed else _LEVELS[finding.level])
    return _line(f"{indent}{finding.file}:{finding.line}: ", level, f" {finding.rule}: {finding.message}")


def _line(*parts: str | tuple[str, str]) -> Text:
    """One line however long, for logs and programs; no part begins or ends with what a workflow command begins with."""
    safe = [workflow_safe(part) if isinstance(part, str) else (workflow_safe(part[0]), part[1]) for part in parts]
    return Text.assemble(*safe, no_wrap=True, overflow="ignore")
