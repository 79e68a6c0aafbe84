"""Texts from files as they may be shown: printable, bounded, and without credentials."""

import re
from typing import Final

from moesize.errors import printable

_LIMIT: Final = 1000
#: User names and passwords in addresses, and tokens of the services model servers are given.
_SECRETS: Final = (
    (re.compile(r"(://)[^/@\s]{1,300}@"), r"\1***@"),
    (re.compile(r"(?:hf|api_org)_[A-Za-z0-9]{10,}"), "hf_***"),
    (re.compile(r"\b(?:ghp|gho|ghs|github_pat|glpat|sk|nvapi|xoxb)[-_][A-Za-z0-9_-]{16,}"), "***"),
    (re.compile(r"\bAKIA[A-Z0-9]{16}\b"), "***"),
    (re.compile(r"(?i)([?&](?:token|sig|signature|key|password|x-amz-[a-z-]+)=)[^&\s]{1,2000}"), r"\1***"),
    (re.compile(r"(?i)(--(?:api-key|hf-token|token|password)[= ])\S{1,2000}"), r"\1***"),
)


def clean(text: str, limit: int = _LIMIT) -> str:
    """`text` without control characters and secrets, cut to `limit`."""
    text = text[: 4 * limit]
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return printable(text, limit)
