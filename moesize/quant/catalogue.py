"""The quantisations `moesize quants` lists, from `quants.yaml`."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from moesize.data import read_yaml


class QuantInfo(NamedTuple):
    """One line of the list.

    Attributes:
        name: Canonical.
        bits: Bits per weight of a large matrix, scales included.
        left: What stays in 16 bits.
        engines: Engines that run it.
        gpus: The first GPU generation that does, and how.
        on_the_fly: Whether some engine makes it while it loads a 16-bit checkpoint.
        aliases: Other names; families say how widths and groups are written.
        source: URL of the layout.
    """

    name: str
    bits: float
    left: str
    engines: tuple[str, ...]
    gpus: str
    on_the_fly: bool
    aliases: tuple[str, ...]
    source: str


@cache
def list_quants() -> tuple[QuantInfo, ...]:
    """All of them, in the order of the file."""
    rows = read_yaml(Path(__file__).with_name("quants.yaml"))["quants"]
    return tuple(
        QuantInfo(
            name=row["name"],
            bits=float(row["bits"]),
            left=row["left"],
            engines=tuple(row["engines"]),
            gpus=row["gpus"],
            on_the_fly=bool(row.get("on_the_fly", False)),
            aliases=tuple(row.get("aliases", ())),
            source=row["source"],
        )
        for row in rows
    )
