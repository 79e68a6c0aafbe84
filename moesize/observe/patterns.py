"""Reading numbers and settings out of a log line. Every expression is linear in the line's length."""

import re
from typing import Any

NUMBER = r"(\d{1,15}(?:\.\d{1,9})?)"
COUNT = r"([\d,]{1,20})"
_SPACED = r"[\s'\"]{0,3}"
_TRUE, _FALSE = ("true", "1"), ("false", "0")


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
