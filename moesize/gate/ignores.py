"""Findings somebody has said to leave alone: by comment, annotation or policy, with a reason and perhaps a last day."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final, Literal

from moesize.errors import InputError
from moesize.gate.discover import read_text
from moesize.gate.document import Position
from moesize.gate.facts import Deployment
from moesize.gate.findings.base import Finding
from moesize.gate.findings.invalid_ignore import finding as invalid
from moesize.gate.policy import Policy
from moesize.gate.rules import RULES

#: `# moesize: ignore[wasteful, tight] reason`, on the line of the finding or before it, or where the object begins.
_COMMENT: Final = re.compile(r"#\s*moesize:\s*ignore\[([\w, -]{1,200})\]\s*(.{0,500})")
_UNTIL: Final = re.compile(r"\(?\buntil[ =:]{1,2}(\d{4}-\d{2}-\d{2})\)?")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a finding is left alone, and where that is said."""

    text: str
    kind: Literal["comment", "annotation", "policy", "baseline"]


@dataclass(frozen=True, slots=True)
class _Comment:
    rules: tuple[str, ...]
    reason: str
    until: date | None


@dataclass(slots=True)
class Ignores:
    """The ignores of one run; files are searched for comments when they have findings."""

    root: Path
    policy: Policy
    today: date
    #: What is wrong with ignores themselves.
    problems: list[Finding] = field(default_factory=list)
    _comments: dict[str, dict[int, list[_Comment]]] = field(default_factory=dict)

    def reason(self, finding: Finding, deployment: Deployment | None) -> Reason | None:
        """Why a finding is to be left alone; None when nothing says so."""
        comments = self._of_file(finding.where.file)
        lines = {finding.where.line, finding.where.line - 1}
        if deployment is not None and deployment.where.file == finding.where.file:
            lines |= {deployment.where.line, deployment.where.line - 1}
        for line in sorted(lines):
            for comment in comments.get(line, ()):
                if finding.rule in comment.rules:
                    return Reason(comment.reason, "comment")
        stated = deployment.ignores.get(finding.rule) if deployment else None
        if stated is not None and stated.value.strip() and not self._expired(_until(stated.value)):
            return Reason(stated.value.strip(), "annotation")
        identity = deployment.identity if deployment else ""
        for ignore in self.policy.ignores:
            if ignore.covers(finding.rule, finding.where.file, identity) and not self._expired(ignore.until):
                return Reason(ignore.reason, "policy")
        return None

    def check(self, deployments: tuple[Deployment, ...]) -> Iterator[Finding]:
        """Ignores that have no effect: expired, without a reason, of a rule that does not exist."""
        for ignore in self.policy.ignores:
            if self._expired(ignore.until):
                yield invalid(f"the policy's ignore of {ignore.rule} held until {ignore.until}", self.policy.place)
        for deployment in deployments:
            for rule, fact in deployment.ignores.items():
                why = self._wrong((rule,), fact.value.strip(), _until(fact.value))
                if why:
                    yield invalid(f"the annotation moesize.dev/ignore-{rule} {why}", fact.where or deployment.where)
        yield from self.problems

    def _of_file(self, file: str) -> dict[int, list[_Comment]]:
        """The comments of a file that count, by line."""
        if file in self._comments:
            return self._comments[file]
        found = self._comments[file] = {}
        try:
            text = read_text(self.root / file)
        except InputError:
            return found
        if "moesize:" not in text:
            return found
        for number, line in enumerate(text.splitlines(), start=1):
            match = _COMMENT.search(line)
            if match is None:
                continue
            rules = tuple(rule.strip() for rule in match.group(1).split(","))
            comment = _Comment(rules, match.group(2).strip(), _until(match.group(2)))
            why = self._wrong(rules, comment.reason, comment.until)
            if why:
                self.problems.append(
                    invalid(f"the comment that ignores {', '.join(rules)} {why}", Position(file, number))
                )
            else:
                found.setdefault(number, []).append(comment)
        return found

    def _wrong(self, rules: tuple[str, ...], reason: str, until: date | None) -> str:
        unknown = [rule for rule in rules if rule not in RULES]
        if unknown:
            return f"names no rule: {', '.join(unknown)}"
        if not _UNTIL.sub("", reason).strip():
            return "gives no reason"
        return f"held until {until}" if self._expired(until) else ""

    def _expired(self, until: date | None) -> bool:
        return until is not None and until < self.today


def _until(text: str) -> date | None:
    """The day in `… (until 2027-01-31)`; a day that does not exist counts as past."""
    match = _UNTIL.search(text)
    if match is None:
        return None
    try:
        return date.fromisoformat(match.group(1))
    except ValueError:
        return date.min
