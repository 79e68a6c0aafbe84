"""Paths by pattern, as policies write them."""

import re
from collections.abc import Iterable


def matches_any(file: str, patterns: Iterable[str]) -> bool:
    """Whether a path matches one of some globs; `**` crosses folders, and a folder stands for all below it."""
    return any(_pattern(pattern).fullmatch(file) for pattern in patterns)


def _pattern(glob: str) -> re.Pattern[str]:
    known = _patterns.get(glob)
    if known is None:
        text = glob.removeprefix("./").rstrip("/")
        words = re.split(r"(\*\*/|\*+|\?)", text)
        kinds = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
        body = "".join(kinds.get(word) or (".*" if word.startswith("**") else re.escape(word)) for word in words)
        known = _patterns[glob] = re.compile(f"{body}(?:/.*)?")
    return known


_patterns: dict[str, re.Pattern[str]] = {}
