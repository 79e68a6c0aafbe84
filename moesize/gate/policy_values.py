"""The values a policy may hold: each read from its TOML, or refused with the file and the key."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from moesize.errors import InputError, MoesizeError, UnknownNameError, printable
from moesize.gate.demands import Demands
from moesize.gate.findings.base import Level
from moesize.gate.rules import RULES
from moesize.units import parse_bytes


def shown_path(path: Path | None) -> str:
    """How messages name the policy."""
    return printable(str(path)) if path else "the policy"


def only_known(document: Mapping[str, Any], keys: tuple[str, ...], shown: str) -> None:
    """Refuse a key that is none of `keys`.

    Raises:
        UnknownNameError: such a key; names the nearest.
    """
    for key in document:
        if key not in keys:
            raise UnknownNameError("key", key, keys, f"in {shown}; known are {', '.join(keys)}")


def with_demands(document: Mapping[str, Any], base: Demands, shown: str) -> Demands:
    """`base` with what a table says laid over it.

    Raises:
        InputError: a value that cannot be; names the key.
    """
    found = base
    for key, value in document.items():
        if key == "gpu":
            found = replace(found, gpu=known_gpu(value, shown))
        elif key == "pools":
            pools = {name: known_gpu(gpu, f"{shown}: pools") for name, gpu in _table(value, key, shown).items()}
            found = replace(found, pools={**base.pools, **pools})
        elif key == "models":
            found = replace(found, models={**base.models, **_table(value, key, shown)})
        elif key == "context":
            found = replace(found, context_tokens=_count(value, key, shown))
        elif key == "concurrency":
            found = replace(found, concurrency=_count(value, key, shown))
        elif key == "min-headroom":
            n_bytes, share = _headroom(value, shown)
            found = replace(found, headroom_bytes=n_bytes, headroom_share=share)
        elif key == "allowed-gpus":
            found = replace(found, allowed_gpus=_allowed(texts(document, key, shown), shown))
        elif key == "max-price":
            found = replace(found, max_usd_per_hour=_price(value, shown))
        else:
            found = replace(found, levels={**base.levels, **_levels(_table(value, key, shown), shown)})
    return found


def known_gpu(value: object, shown: str) -> str:
    """A GPU's name, when it is one.

    Raises:
        InputError: not a name, or of no GPU or of several.
    """
    from moesize.hardware.gpu import load_gpu  # noqa: PLC0415  only policies that name GPUs need it

    if not isinstance(value, str):
        raise InputError(f"{shown}: a GPU is a name, not {printable(repr(value), 40)}")
    try:
        load_gpu(value)
    except MoesizeError as error:
        raise InputError(f"{shown}: {error}") from None
    return value


def _allowed(names: tuple[str, ...], shown: str) -> tuple[str, ...]:
    """Ids of the cards some names stand for; a name of several cards allows them all."""
    from moesize.hardware import catalogue  # noqa: PLC0415

    try:
        return tuple(dict.fromkeys(gpu_id for name in names for gpu_id in catalogue.find(name)))
    except MoesizeError as error:
        raise InputError(f"{shown}: allowed-gpus: {error}") from None


def _count(value: object, key: str, shown: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{shown}: {key} is a whole number of at least 1, not {printable(repr(value), 40)}")
    return value


def _price(value: object, shown: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise InputError(f"{shown}: max-price is USD an hour, not {printable(repr(value), 40)}")
    return float(value)


def _headroom(value: object, shown: str) -> tuple[int, float]:
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d{1,2}(?:\.\d+)?)\s*%\s*", value)):
        return 0, float(match.group(1)) / 100
    if not isinstance(value, str):
        raise InputError(f'{shown}: min-headroom is written like "2GiB" or "5%"')
    try:
        return parse_bytes(value), 0.0
    except InputError as error:
        raise InputError(f"{shown}: min-headroom: {error}") from None


def _levels(table: Mapping[str, str], shown: str) -> dict[str, Level | None]:
    found: dict[str, Level | None] = {}
    for rule, word in table.items():
        if rule not in RULES:
            raise UnknownNameError("rule", rule, RULES, f"in {shown}: levels")
        if word != "off" and word not in tuple(Level):
            raise InputError(f"{shown}: levels.{rule} is {printable(word, 40)!r}; use off, {', '.join(Level)}")
        found[rule] = None if word == "off" else Level(word)
    return found


def _table(value: object, key: str, shown: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InputError(f"{shown}: {key} is a table of names")
    return value


def tables(document: Mapping[str, Any], key: str, shown: str) -> list[Mapping[str, Any]]:
    """A list of tables; empty when there is none.

    Raises:
        InputError: anything else; names the key.
    """
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"{shown}: {key} is a list of tables, written [[{key}]]")
    return value


def texts(document: Mapping[str, Any], key: str, shown: str) -> tuple[str, ...]:
    """A list of strings; empty when there is none.

    Raises:
        InputError: anything else; names the key.
    """
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{shown}: {key} is a list of strings")
    return tuple(value)
