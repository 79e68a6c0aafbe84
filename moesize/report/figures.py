"""Figures as people read them: GiB with two decimals, parameters in billions, counts with separators."""

from moesize.units import GIB, KIB, MIB

_SCALES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def gib(n_bytes: float) -> str:
    """`23.00` of a number of bytes."""
    return f"{n_bytes / GIB:.2f}"


def size(n_bytes: float) -> str:
    """A size in the binary unit that suits it: `128.0 KiB`, `1.50 GiB`."""
    if abs(n_bytes) >= GIB:
        return f"{n_bytes / GIB:.2f} GiB"
    if abs(n_bytes) >= MIB:
        return f"{n_bytes / MIB:.1f} MiB"
    return f"{n_bytes / KIB:.1f} KiB" if abs(n_bytes) >= KIB else f"{n_bytes:.0f} B"


def parameters(count: int) -> str:
    """`46.70B` of a parameter count."""
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if count >= scale:
            return f"{count / scale:.2f}{unit}"
    return f"{count:,}"


def flops(count: float) -> str:
    """`25.8 GFLOP` of a number of operations."""
    for scale, unit in _SCALES:
        if count >= scale:
            return f"{count / scale:.1f} {unit}FLOP"
    return f"{count:.0f} FLOP"


def percent(part: float, whole: float) -> str:
    """`27.6 %` of a share."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def counted(n: int, word: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def words(role: str) -> str:
    """A role's name in words."""
    return role.replace("_", " ")
