"""The gate's result as JSON, schema `moesize.gate/1`."""

import json
from dataclasses import asdict

from moesize.gate.results import GateResult
from moesize.report.gate.wording import log_safe


def render(result: GateResult) -> str:
    """The whole result; `changes` only when two states were compared."""
    document = asdict(result)
    if result.changes is None:
        del document["changes"]
    return log_safe(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"
