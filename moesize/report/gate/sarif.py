"""SARIF 2.1.0, in the part GitHub's code scanning reads.

Specification: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. Findings left alone are listed with
their suppression. Fingerprints are of file, object and rule, not of lines or figures.
"""

import json
from typing import Any
from urllib.parse import quote

from moesize.gate.results import FindingOut, GateResult
from moesize.gate.rules import RULES, Rule
from moesize.report.gate.wording import log_safe

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_HOME = "https://github.com/moesize/moesize"
_LEVELS = {"error": "error", "warning": "warning", "undecided": "warning", "note": "note"}
_IN_SOURCE = ("comment", "annotation")


def render(result: GateResult) -> str:
    """One run with all rules and all findings."""
    ids = list(RULES)
    run = {
        "tool": {
            "driver": {
                "name": "moesize",
                "version": result.version,
                "semanticVersion": result.version,
                "informationUri": _HOME,
                "rules": [_rule(rule) for rule in RULES.values()],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"description": {"text": "The root of the checked-out repository."}}},
        "invocations": [{"executionSuccessful": True, "exitCode": result.exit_status}],
        "results": [_result(one, ids) for one in result.findings],
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return log_safe(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.page.replace("\n", " ")[:1000]},
        "help": {"text": rule.page, "markdown": rule.page},
        "helpUri": f"{_HOME}/blob/main/docs/gate.md#{rule.id}",
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
        "properties": {"tags": ["gpu-memory"], "precision": "high"},
    }


def _result(one: FindingOut, ids: list[str]) -> dict[str, Any]:
    about = f"{one.object}: " if one.object else ""
    found: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": ids.index(one.rule),
        "level": _LEVELS[one.level],
        "message": {"text": f"{about}{one.message}\n{one.help}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(one.file), "uriBaseId": "ROOT"},
                    "region": {"startLine": one.line, "startColumn": one.column},
                }
            }
        ],
        "partialFingerprints": {"moesizeObjectAndRule/v1": one.fingerprint},
        "properties": {"verdictLevel": one.level},
    }
    if one.object:
        found["locations"][0]["logicalLocations"] = [{"fullyQualifiedName": one.object, "kind": "object"}]
    if one.suppressed:
        kind = "inSource" if one.suppressed in _IN_SOURCE else "external"
        found["suppressions"] = [{"kind": kind, "status": "accepted", "justification": one.reason or ""}]
    return found
