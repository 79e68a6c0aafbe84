"""How much of an answer is shown as text: what `--quiet` and `--verbose` choose."""

from enum import StrEnum


class Detail(StrEnum):
    """From the verdict alone to what every number rests on."""

    VERDICT = "verdict"
    USUAL = "usual"
    ALL = "all"
