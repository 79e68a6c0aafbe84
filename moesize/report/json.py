"""The report as JSON, schema `moesize.check/1`."""

import json
from dataclasses import asdict

from moesize.results import CheckResult


def render(result: CheckResult) -> str:
    """The whole result, keys in the schema's order."""
    return json.dumps(asdict(result), indent=2, ensure_ascii=False) + "\n"
