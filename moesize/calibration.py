"""A calibration file: what was measured on somebody's own card or server, in place of the figures of public ones.

`probe --save` and `observe --save` write it, `check --calibration` reads it. It replaces terms that no rule derives, by
name, and says so in the report; weights, caches and rules stay as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from moesize.data import read_yaml
from moesize.engines.base import EnginePlan, Term
from moesize.errors import InputError, printable

SCHEMA: Final = "moesize.calibration/1"
#: Terms that are measured, not derived.
TERMS: Final = ("CUDA context", "outside torch", "CUDA graphs", "activations")
_LARGEST_BYTES = 2**50


@dataclass(frozen=True, slots=True)
class Measured:
    """A term in bytes, with the interval it was seen in; `only_for` are facts of the question it holds for alone."""

    term: str
    n_bytes: int
    low_bytes: int
    high_bytes: int
    only_for: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The measured terms, and where they come from."""

    label: str
    measured: tuple[Measured, ...]


def read_calibration(path: Path) -> Calibration:
    """A calibration file.

    Raises:
        InputError: unreadable, of another schema, or with a wrong key; names file and key.
    """
    raw = read_yaml(path)
    if raw.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema is {printable(str(raw.get('schema')))!r}, expected {SCHEMA}")
    entries = raw.get("terms")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: terms is no list of mappings")
    measured = tuple(_measured(path, number, entry) for number, entry in enumerate(entries))
    facts = [printable(str(raw[key]), 60) for key in ("device", "engine", "date") if raw.get(key)]
    return Calibration(", ".join([printable(path.name, 60), *facts]), measured)


def _measured(path: Path, number: int, entry: Mapping[str, Any]) -> Measured:
    where = f"{path}: terms[{number}]"
    term = entry.get("term")
    if term not in TERMS:
        raise InputError(f"{where}: term is {printable(str(term))!r}; known are {', '.join(TERMS)}")
    values = [
        entry.get("bytes"),
        entry.get("low_bytes", entry.get("bytes")),
        entry.get("high_bytes", entry.get("bytes")),
    ]
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < _LARGEST_BYTES for v in values):
        raise InputError(f"{where}: bytes, low_bytes and high_bytes must be whole numbers of bytes")
    n_bytes, low, high = values
    if not low <= n_bytes <= high:
        raise InputError(f"{where}: low_bytes ≤ bytes ≤ high_bytes does not hold")
    only_for = entry.get("only_for", {})
    if not isinstance(only_for, dict):
        raise InputError(f"{where}: only_for is no mapping")
    return Measured(str(term), n_bytes, low, high, only_for)


def write_calibration(
    *, made_by: str, device: str, engine: str, date: str, facts: Mapping[str, Any], measured: tuple[Measured, ...]
) -> str:
    """The text of a calibration file."""
    import yaml  # noqa: PLC0415  only --save writes one

    terms = []
    for entry in measured:
        term = {
            "term": entry.term,
            "bytes": entry.n_bytes,
            "low_bytes": entry.low_bytes,
            "high_bytes": entry.high_bytes,
        }
        terms.append({**term, "only_for": dict(entry.only_for)} if entry.only_for else term)
    document = {"schema": SCHEMA, "made_by": made_by, "date": date, "device": device, "engine": engine}
    document |= {key: value for key, value in facts.items() if value is not None}
    text: str = yaml.safe_dump({**document, "terms": terms}, sort_keys=False, allow_unicode=True, width=120)
    return text


def calibrated(plan: EnginePlan, calibration: Calibration, facts: Mapping[str, Any]) -> EnginePlan:
    """A plan with the calibration's figures for the terms it has, and a note that names those that were replaced.

    The pool is not resized: its engine does that, when it is told what is left.
    """
    figures = {m.term: m for m in calibration.measured if all(facts.get(k) == v for k, v in m.only_for.items())}
    terms = tuple(_replaced(term, figures.get(term.term), calibration.label) for term in plan.terms)
    used = dict.fromkeys(term.term for term in plan.terms if term.term in figures)
    note = f"calibrated by {calibration.label}: {', '.join(used) or 'no term of this question'}"
    return plan._replace(terms=terms, notes=(*plan.notes, note))


def _replaced(term: Term, figure: Measured | None, label: str) -> Term:
    if figure is None:
        return term
    return term._replace(
        n_bytes=figure.n_bytes,
        low_bytes=figure.low_bytes,
        high_bytes=figure.high_bytes,
        basis="given",
        formula="as measured, in place of what public measurements give",
        source=label,
    )
