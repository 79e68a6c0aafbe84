"""Reading numbers and settings out of a log line. Every expression is linear in the line's length."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from moesize.observe.observation import Observation

NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
COUNT = r"([\d,]{1,20})"
_SPACED = r"[\s'\"]{0,3}"
_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Vocabulary(NamedTuple):
    """How one engine words its log.

    Attributes:
        version: Finds the engine's version in a line.
        stating: A line with one of these states settings.
        settings: Our name -> (the engine's names, how the value is read).
        figures: Words a line must have, the expression, and names of its groups; a group without one is passed over.
    """

    version: re.Pattern[str]
    stating: Sequence[str]
    settings: dict[str, tuple[tuple[str, ...], Any]]
    figures: Sequence[tuple[str, re.Pattern[str], tuple[str, ...]]]


def enter(line: str, seen: Observation, words: Vocabulary) -> bool:
    """Enter the version, settings and figures a line states; whether it stated any."""
    found = False
    if version := words.version.search(line):
        seen.version, found = version[1].rstrip(".-+"), True
    if any(word in line for word in words.stating):
        for name, value in take(line, words.settings).items():
            seen.set(name, value)
            found = True
    for required, expression, names in words.figures:
        if required in line and (match := expression.search(line)):
            for name, text in zip(names, match.groups(), strict=True):
                if name:
                    seen.add(name, number(text))
            found = True
    return found


def number(text: str) -> float:
    """The value of a figure, thousands separated or not."""
    digits = text.replace(",", "")
    return float(digits) if digits else -1.0


def setting(line: str, *names: str) -> str | None:
    """The value of the first of `names` a line states as `name=value`, `'name': value` or `--name value`; None: none.

    Quotes are taken off; `None` counts as not stated.
    """
    for name in names:
        if name not in line:
            continue
        found = re.search(rf"(?<![\w-]){name}{_SPACED}[=:]{_SPACED}(\[?)['\"]?([^\s,'\")\]}}>]{{1,300}})", line)
        if found and found[2] not in ("None", "null"):
            return found[2]
    return None


def whole(text: str | None) -> int | None:
    """A count of a setting."""
    digits = (text or "").rstrip(".")  # sentences end in one
    return int(digits) if digits.isdecimal() and digits.isascii() and len(digits) < 12 else None


def fraction(text: str | None) -> float | None:
    """A share of a setting."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value <= 1 else None


def flag(text: str | None) -> bool | None:
    """True or false of a setting."""
    lower = (text or "").lower()
    return True if lower in _TRUE else False if lower in _FALSE else None


def take(line: str, table: dict[str, tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """The settings of a line: our name -> (the engine's names, how the value is read)."""
    found = {ours: read(setting(line, *names)) for ours, (names, read) in table.items()}
    return {name: value for name, value in found.items() if value is not None}
