"""Workflow commands of GitHub Actions: one annotation per finding, at its file and line.

The rules of escaping are those of
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands and
https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts. A step shows ten annotations of each
level: the gravest come first.
"""

from moesize.gate.results import FindingOut, GateResult
from moesize.report.gate.wording import tally, workflow_safe

_LEVELS = {"error": "error", "warning": "warning", "undecided": "warning", "note": "notice"}


def render(result: GateResult) -> str:
    """Annotations for what is not left alone, then the tally."""
    shown = sorted((one for one in result.findings if one.suppressed is None), key=_gravity)
    lines = [*map(_annotation, shown), workflow_safe(tally(result))]
    return "".join(f"{line}\n" for line in lines)


def _gravity(finding: FindingOut) -> tuple[bool, int]:
    return not finding.fails, list(_LEVELS).index(finding.level)


def _annotation(one: FindingOut) -> str:
    level = "error" if one.fails else _LEVELS[one.level]
    title = _property(f"moesize ({one.rule})")
    place = f"file={_property(one.file)},line={one.line},col={one.column},title={title}"
    about = f"{one.object}: " if one.object else ""
    return f"::{level} {place}::" + _data(f"{one.file}:{one.line}: {about}{one.message}\n{one.help}")


def _data(text: str) -> str:
    text = text.replace("##[", "## [")  # an older spelling of commands, found anywhere in a line
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
