"""Findings a tree already had when the gate came, by object and rule: lines and figures may move."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from moesize.errors import InputError, printable
from moesize.gate.discover import read_text

SCHEMA: Final = "moesize.baseline/1"

#: File, object and rule of a finding.
Key = tuple[str, str, str]


def load_baseline(path: Path) -> frozenset[Key]:
    """The findings of a baseline file.

    Raises:
        InputError: unreadable, or no baseline.
    """
    try:
        document = json.loads(read_text(path))
        if document["schema"] != SCHEMA:
            raise KeyError(SCHEMA)  # noqa: TRY301  one sentence for all that is no baseline
        return frozenset(
            (str(file), str(entry["object"]), str(rule))
            for file, entries in document["findings"].items()
            for entry in entries
            for rule in entry["rules"]
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{printable(str(path))} is no baseline; write one with --write-baseline") from None
    except InputError as error:
        raise InputError(f"{printable(str(path))} {error}") from None


def baseline_text(keys: Iterable[Key]) -> str:
    """A baseline file of some findings, sorted, so that its changes are small."""
    files: dict[str, dict[str, list[str]]] = {}
    for file, identity, rule in sorted(set(keys)):
        files.setdefault(file, {}).setdefault(identity, []).append(rule)
    findings = {
        file: [{"object": identity, "rules": rules} for identity, rules in objects.items()]
        for file, objects in files.items()
    }
    return json.dumps({"schema": SCHEMA, "findings": findings}, indent=2, ensure_ascii=False) + "\n"
