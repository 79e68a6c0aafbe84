"""Published figures: what a vendor printed, how it was rounded, and whether our own count agrees."""

from math import prod
from typing import Final

from moesize.errors import InputError, printable
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, PublishedFigure

_SCALES: Final = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

#: What a figure can count: a field of `ParameterCounts`, or everything the checkpoint stores.
COUNTED: Final = (
    "total",
    "active",
    "active_excluding_input_embedding",
    "active_excluding_embeddings",
    "stored",
)

_KEYS: Final = frozenset({"what", "value", "source", "note"})


def read_figures(entries: object, where: str) -> tuple[PublishedFigure, ...]:
    """The `published:` list of a spec file.

    Raises:
        InputError: not a list of mappings, an unknown or missing key, a figure that cannot be read.
    """
    if not isinstance(entries, list):
        raise InputError(f"{where}: published is {printable(repr(entries), 60)}, expected a list of figures")
    return tuple(_read_figure(entry, f"{where}: published[{i}]") for i, entry in enumerate(entries))


def _read_figure(entry: object, where: str) -> PublishedFigure:
    if not isinstance(entry, dict):
        raise InputError(f"{where} is {printable(repr(entry), 60)}, expected what, value and source")
    unknown = sorted(str(key) for key in entry if key not in _KEYS)
    if unknown:
        raise InputError(f"{where}: unknown key {printable(unknown[0])!r}; known are {', '.join(sorted(_KEYS))}")
    fields = Fields(entry, where)
    what = fields.text("what")
    if what not in COUNTED:
        raise InputError(f"{where}: what is {printable(what)!r}, expected one of {', '.join(COUNTED)}")
    value, rounding = parse_figure(entry.get("value"), where)
    return PublishedFigure(what, value, fields.text("source"), fields.text("note", default=""), rounding)


def parse_figure(value: object, where: str) -> tuple[float, float]:
    """Parameters of a figure as printed, and what one unit of its last digit stands for (0 for an exact integer).

    `46.7B` is (46.7e9, 0.1e9); `236B` is (236e9, 1e9).

    Raises:
        InputError: neither a positive whole number nor a number with K, M, B or T.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return float(value), 0.0
    if isinstance(value, str):
        digits, scale = value[:-1], _SCALES.get(value[-1:].upper())
        whole, point, decimals = digits.partition(".")
        if (
            scale
            and digits.isascii()
            and whole.isdecimal()
            and (decimals.isdecimal() or not point)
            and len(digits) < 20
        ):
            return float(digits) * scale, scale / 10 ** len(decimals)
    raise InputError(f"{where}: value is {printable(repr(value), 60)}, expected an exact number or one like 46.7B")


def own_count(spec: ModelSpec, what: str) -> int:
    """Our count under the convention `what`, in parameters (stored elements, buffers included, for `stored`)."""
    if spec.counts:
        return spec.counts.total if what in ("total", "stored") else spec.counts.active
    if what == "stored":
        return sum(prod(t.shape) * t.copies for t in spec.tensors if not t.tied_to)
    value: int = getattr(spec.params, what)
    return value


def agrees(figure: PublishedFigure, count: int) -> bool:
    """Whether `count` is the figure as printed: rounded to its last digit, or cut off after it."""
    over = count - figure.value
    return -figure.rounding / 2 <= over < figure.rounding if figure.rounding else not over
