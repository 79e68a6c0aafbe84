"""Versioned constants of an engine, from the YAML file beside its module.

Every list in `rules` and `calibrated` is read top down: the first entry whose `since` is not above the version holds. A
calibrated entry has `value`, `low`, `high`, a `fit` (its rows) and a `source`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from moesize.data import read_yaml
from moesize.engines.base import Category, EngineOptions, Term
from moesize.errors import InputError, printable
from moesize.units import GIB, MIB

_UNIT_BYTES = {"mib": MIB, "gib": GIB}


@dataclass(frozen=True, slots=True)
class Rules:
    """The constants that hold for one version of one engine."""

    engine: str
    version: str
    key: tuple[int, ...]
    document: Mapping[str, Any]

    def entry(self, name: str) -> dict[str, Any]:
        """The entry of a list that holds for this version."""
        entries = (self.document.get("rules") or {}).get(name) or self.document["calibrated"][name]
        found: dict[str, Any] = next(e for e in entries if version_key(str(e["since"]), self.engine) <= self.key)
        return found

    def value(self, name: str) -> Any:  # noqa: ANN401  numbers, booleans and words
        """The `value` of that entry."""
        return self.entry(name)["value"]

    @property
    def uncalibrated(self) -> str:
        """Why the intervals are wide: a sentence for the report, empty where rows were measured."""
        return str(self.document.get("uncalibrated") or "")

    def term(
        self, term: str, category: Category, name: str, *, formula: str = "", share: float = 1.0, in_budget: bool = True
    ) -> Term:
        """A calibrated constant as a line of the receipt, times `share`."""
        entry = self.entry(name)
        unit = _UNIT_BYTES[entry["unit"]] * share
        value, low, high = (round(entry[key] * unit) for key in ("value", "low", "high"))
        seen = f"{entry['low']:g}…{entry['high']:g} {entry['unit'].replace('ib', 'iB').capitalize()}"
        text = f"{formula or entry['what']}; seen {seen} ({entry['fit']})"
        return Term(term, category, value, low, high, "calibrated", text, entry["source"], in_budget)


@cache
def rules_for(engine: str, path: Path, version: str | None) -> Rules:
    """The rules of a version of an engine; the file's default when None.

    Raises:
        InputError: no version of this engine, or one outside the known range.
    """
    document = read_yaml(path)
    wanted = version or str(document["default"])
    key = version_key(wanted, engine)
    oldest, newest = str(document["oldest"]), document.get("newest")
    if key < version_key(oldest, engine):
        raise InputError(f"{engine} {printable(wanted)} is too old; versions from {oldest} are known")
    if newest is not None and key > (*version_key(str(newest), engine), 10**9):
        raise InputError(f"{engine} {printable(wanted)} is not known yet; the newest known is {newest}")
    return Rules(engine, wanted, key, document)


def version_key(version: str, engine: str) -> tuple[int, ...]:
    """The numbers of `0.5.23`, `v3.3.7`, `b9525`, to compare by; what follows them (`rc1`) does not count.

    Raises:
        InputError: no number at its start.
    """
    numbers: list[int] = []
    for part in version.strip().lower().lstrip("vb").split("."):
        digits = part[: next((i for i, c in enumerate(part) if not ("0" <= c <= "9")), len(part))]
        if not digits:
            break
        numbers.append(int(digits[:9]))
        if digits != part:
            break
    if not numbers:
        raise InputError(f"{printable(version)!r} is no version of {engine}")
    return tuple(numbers)


#: Settings whose effect is known for vLLM alone.
VLLM_ONLY = {
    "speculation": "speculative decoding is sized for vLLM alone",
    "max_cudagraph_capture_size": "its graphs are not sized by it",
    "prefix_caching": "what it takes is known for vLLM alone",
    "language_model_only": "leaving towers out is known for vLLM alone",
    "flashinfer_sampler": "what its sampler takes is known for vLLM alone",
}


def refuse(options: EngineOptions, engine: str, reasons: Mapping[str, str]) -> None:
    """Refuse options an engine does not have, in its own terms.

    Raises:
        InputError: an option that differs from its default and has a reason here.
    """
    default = EngineOptions()
    for name, reason in reasons.items():
        if getattr(options, name) != getattr(default, name):
            raise InputError(f"{engine} has no {name.replace('_', '-')}: {reason}")


def fraction(value: float, name: str) -> float:
    """A fraction of memory an operator gave.

    Raises:
        InputError: not above 0 and at most 1.
    """
    if not 0 < value <= 1:
        raise InputError(f"{name} is {value}; it is a fraction of the card, above 0 and at most 1")
    return value
