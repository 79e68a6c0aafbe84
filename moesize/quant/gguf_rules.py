"""llama.cpp's choice of a type for one tensor of one layer: a function per use of a tensor.

Source: `llama_tensor_get_type_impl` in https://github.com/ggml-org/llama.cpp/blob/master/src/llama-quant.cpp (2026).
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from moesize.model.ggml import BY_NAME


class Use(Enum):
    """The categories its rules tell apart."""

    EMBEDDING = auto()
    HEAD = auto()
    QUERY = auto()
    KEY = auto()
    VALUE = auto()
    QKV = auto()
    ATTENTION_OUT = auto()
    UP = auto()  # gates too: they share a rule
    DOWN = auto()
    OTHER = auto()


class Facts(NamedTuple):
    """What the rules ask of a model: `values` counts the tensors that hold value projections."""

    base: str
    experts: int
    gqa: int
    layers: int
    imatrix: bool
    falcon: bool
    values: int


#: label -> the type most tensors get.
DEFAULTS = {
    "q4_0": "q4_0", "q4_1": "q4_1", "q5_0": "q5_0", "q5_1": "q5_1", "q8_0": "q8_0", "q2_k": "q2_k", "q2_k_s": "q2_k",
    "q3_k_s": "q3_k", "q3_k_m": "q3_k", "q3_k_l": "q3_k", "q4_k_s": "q4_k", "q4_k_m": "q4_k", "q5_k_s": "q5_k",
    "q5_k_m": "q5_k", "q6_k": "q6_k", "iq1_s": "iq1_s", "iq1_m": "iq1_m", "iq2_xxs": "iq2_xxs", "iq2_xs": "iq2_xs",
    "iq2_s": "iq2_xs", "iq2_m": "iq2_s", "iq3_xxs": "iq3_xxs", "iq3_xs": "iq3_s", "iq3_s": "iq3_s", "iq3_m": "iq3_s",
    "iq4_nl": "iq4_nl", "iq4_xs": "iq4_xs", "tq1_0": "tq1_0", "tq2_0": "tq2_0", "mxfp4_moe": "mxfp4",
    "f16": "float16", "bf16": "bfloat16", "f32": "float32",
}  # fmt: skip
_VERY_LOW = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m")
_EIGHT_EXPERTS_OUT = (
    "q2_k", "iq3_xs", "iq3_xxs", "iq3_s", "iq3_m", "q3_k_s", "q3_k_m", "iq4_nl", "iq4_xs", "q4_k_s", "q4_k_m",
)  # fmt: skip


def tensor_type(use: Use, at: int, in_features: int, facts: Facts, *, expert: bool) -> str:
    """The type of a tensor, before rows that are no whole blocks are looked at.

    Args:
        use: What the tensor is for.
        at: Its layer, or its place among the tensors of its use where llama.cpp counts those.
        in_features: Columns.
        facts: Of the model and the mix.
        expert: Whether it holds routed experts.
    """
    base = facts.base
    if base in ("f16", "bf16", "f32"):
        return DEFAULTS[base]
    if base == "mxfp4_moe":
        return "mxfp4" if expert else "q8_0"
    if use is Use.HEAD:
        return _head(base, in_features, facts)
    rule = (_VERY_LOW_RULES if base in _VERY_LOW else _RULES).get(use)
    return (rule(base, at, facts) if rule else None) or DEFAULTS[base]


_EMBEDDING = {
    "iq1_s": "q2_k", "iq1_m": "q2_k", "iq2_xxs": "q2_k", "iq2_xs": "q2_k", "iq2_s": "iq3_s", "iq2_m": "iq3_s",
    "iq3_xxs": "iq3_s", "tq1_0": "q4_k", "tq2_0": "q4_k",
}  # fmt: skip


def _more(at: int, of: int) -> bool:
    """The layers that get more bits: the first and last eighth, and every third between."""
    return at < of // 8 or at >= 7 * of // 8 or (at - of // 8) % 3 == 2


def _head(base: str, in_features: int, facts: Facts) -> str:
    default = DEFAULTS[base]
    if facts.falcon or default == "q8_0" or in_features % BY_NAME[default].block:
        return "q8_0"
    return "q5_k" if base in (*_VERY_LOW, "iq3_xxs") else "q6_k"


def _embedding(base: str, at: int, facts: Facts) -> str | None:  # noqa: ARG001
    return _EMBEDDING.get(base)


def _very_low_value(base: str, at: int, facts: Facts) -> str | None:  # noqa: ARG001
    if facts.gqa >= 4 or facts.experts >= 4:
        return "q4_k"
    return "iq3_s" if base in ("iq2_s", "iq2_m") else "q2_k"


def _very_low_key(base: str, at: int, facts: Facts) -> str | None:  # noqa: ARG001
    return "q4_k" if facts.experts == 8 else None


def _very_low_out(base: str, at: int, facts: Facts) -> str | None:  # noqa: ARG001
    if facts.experts == 8:
        return "q5_k"
    return {"iq1_s": "iq2_xxs", "iq1_m": "iq2_xxs", "iq2_s": "iq3_s", "iq2_m": "iq3_s"}.get(base)


def _very_low_down(base: str, at: int, facts: Facts) -> str | None:
    if at >= facts.layers // 8:
        return None
    return "iq3_s" if base in ("iq2_s", "iq2_m") else "q2_k"


def _value(base: str, at: int, facts: Facts) -> str | None:
    if facts.experts == 8:
        return "q8_0"
    chosen = _value_by_label(base, at, facts) or DEFAULTS[base]
    # What llama.cpp calls a 70B: 80 layers of grouped heads.
    big = facts.layers == 80 and facts.gqa > 1
    return "q5_k" if big and chosen in ("q3_k", "q4_k") else chosen


def _value_by_label(base: str, at: int, facts: Facts) -> str | None:
    grouped = facts.gqa >= 4
    if base in ("q2_k", "q2_k_s", "iq3_xxs", "iq3_xs", "iq3_s") and grouped:
        return "q4_k"
    if base in ("iq4_nl", "iq4_xs"):
        return "q5_k" if grouped else None
    if base == "iq3_xxs" and facts.imatrix:
        return None
    if base == "q3_k_m" and at < 2:
        return "q5_k"
    if base in ("q4_k_m", "q5_k_m"):
        return "q6_k" if _more(at, facts.values) else None
    if base == "q4_k_s":
        return "q5_k" if at < 4 else None
    return {"q2_k": "q3_k", "iq3_xxs": "iq3_s", "iq3_m": "q4_k", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}.get(base)


def _key(base: str, at: int, facts: Facts) -> str | None:
    return "q8_0" if facts.experts == 8 else _query(base, at, facts)


def _query(base: str, at: int, facts: Facts) -> str | None:  # noqa: ARG001
    return {"iq3_xs": "iq3_xxs", "iq3_xxs": "iq2_s"}.get(base)


def _out(base: str, at: int, facts: Facts) -> str | None:  # noqa: ARG001
    if facts.falcon:
        return "q4_k" if base == "q3_k_l" else None
    if facts.experts == 8:
        return "q5_k" if base in _EIGHT_EXPERTS_OUT else None
    return {"q2_k": "q3_k", "iq3_xxs": "iq3_s", "q3_k_m": "q4_k", "q3_k_l": "q5_k", "iq3_m": "q4_k"}.get(base)


def _up(base: str, at: int, facts: Facts) -> str | None:
    middle = facts.layers // 8 <= at < 7 * facts.layers // 8
    return "iq3_xxs" if base == "iq3_xs" and middle else None


def _down(base: str, at: int, facts: Facts) -> str | None:
    if base in _DOWN_M:
        return _down_m(base, at, facts)
    first = at < facts.layers // 8
    if base == "iq3_xxs":
        return None if facts.imatrix else "q4_k" if first else "q3_k"
    if base == "iq3_m":
        return "q4_k" if first or (facts.experts == 8 and _more(at, facts.layers)) else None
    if base == "q3_k_l" and facts.falcon:
        return "q4_k"
    # Without an importance matrix these two are worse than the type below them; with one Q4_0 and Q5_0 want more.
    unwanted = {"iq4_nl": True, "iq4_xs": True, "q4_0": False, "q5_0": False}.get(base)
    if unwanted is facts.imatrix or (base == "q4_k_s" and facts.falcon):
        return None
    return _DOWN_ALWAYS.get(base) or (_DOWN_FIRST.get(base) if first else None)


def _down_m(base: str, at: int, facts: Facts) -> str | None:
    more, start = _more(at, facts.layers), at < facts.layers // 16
    if base == "q5_k_m":
        return "q6_k" if more else None
    if base == "q3_k_m":
        return "q5_k" if start else "q4_k" if more or not facts.falcon else None
    if facts.falcon:
        return "q6_k" if start else "q5_k" if more else None
    return "q6_k" if more else None


_DOWN_M = ("q3_k_m", "q4_k_m", "q5_k_m")
_DOWN_ALWAYS = {"q2_k": "q3_k", "q3_k_l": "q5_k"}
_DOWN_FIRST = {
    "q2_k_s": "q4_k", "iq4_nl": "q5_k", "iq4_xs": "q5_k", "q4_k_s": "q5_k", "q4_0": "q4_1", "q5_0": "q5_1",
}  # fmt: skip

_Rule = Callable[[str, int, Facts], str | None]
_RULES: dict[Use, _Rule] = {
    Use.EMBEDDING: _embedding,
    Use.VALUE: _value,
    Use.QKV: _value,
    Use.KEY: _key,
    Use.QUERY: _query,
    Use.ATTENTION_OUT: _out,
    Use.UP: _up,
    Use.DOWN: _down,
}
_VERY_LOW_RULES: dict[Use, _Rule] = {
    Use.EMBEDDING: _embedding,
    Use.VALUE: _very_low_value,
    Use.QKV: _very_low_value,
    Use.KEY: _very_low_key,
    Use.ATTENTION_OUT: _very_low_out,
    Use.DOWN: _very_low_down,
}
