"""Names of the formats of small integers."""

import re

from moesize.quant.floats import Fp8Channel
from moesize.quant.integers import Awq, Gptq, GroupedInt, Hqq, Int8, PackedInt
from moesize.quant.name_rules import GROUP, WIDTH, Made, Make, always, bits_of, by_alias, group_of, parse_with, suffix


def parse(text: str, dtype: str) -> Made | None:
    """What a name stands for."""
    return parse_with(text, dtype, _FIXED, _FAMILIES)


def _gptq(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    bits, group = bits_of(match), group_of(match, 128)
    return f"gptq-{bits}bit{suffix(group, 128)}", "gptq", Gptq(bits, group)


def _awq(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    bits, group = bits_of(match), group_of(match, 128)
    return f"awq-{bits}bit{suffix(group, 128)}", "awq", Awq(bits, group)


def _weight_only(match: re.Match[str], dtype: str) -> Made:
    bits, asymmetric = bits_of(match), "asym" in match[0]
    group = group_of(match, 128)
    name = f"w{bits}a16{'-asym' if asymmetric else ''}{suffix(group, 128)}"
    return name, "compressed-tensors", PackedInt(bits, group, dtype, symmetric=not asymmetric)


def _hqq(match: re.Match[str], dtype: str) -> Made:
    bits, group = bits_of(match), group_of(match, 64)
    return f"hqq-{bits}bit{suffix(group, 64)}", "hqq", Hqq(bits, group, scale_dtype=dtype)


def _torchao_int4(match: re.Match[str], dtype: str) -> Made:
    group = group_of(match, 128)
    return f"torchao-int4{suffix(group, 128)}", "torchao", GroupedInt(4, group, dtype, "torchao int4")


def _quanto(bits: int) -> Make:
    name = f"quanto-int{bits}"
    if bits == 8:
        return lambda dtype: (name, "quanto", Int8(dtype))
    return lambda dtype: (name, "quanto", GroupedInt(bits, 128, dtype, f"quanto int{bits}"))


_FIXED = by_alias(
    (
        (
            "int8 int-8 w8a8 w8a8-int8 int8-w8a8 8bit 8-bit smoothquant",
            lambda dtype: ("int8", "compressed-tensors", Int8(dtype)),
        ),
        ("torchao-int8 int8wo int8-wo", lambda dtype: ("torchao-int8", "torchao", Int8(dtype))),
        ("torchao-float8 torchao-fp8 float8wo", always("torchao-float8", "torchao", Fp8Channel())),
        ("quanto-int8 quanto", _quanto(8)),
        ("quanto-int4", _quanto(4)),
        ("quanto-int2", _quanto(2)),
        ("quanto-float8 quanto-fp8", lambda dtype: ("quanto-float8", "quanto", Fp8Channel(dtype))),
        ("eetq", always("eetq", "eetq", Int8("float16", scale_suffix=".weight_scales"))),
    )
)
_FAMILIES = (
    (rf"(?:gptqmodel|gptq|auto-?round){WIDTH}{GROUP}(?:-(?:desc-act|act-?order)(?:-true)?)?", _gptq),
    (rf"(?:auto)?awq{WIDTH}{GROUP}", _awq),
    (rf"(?:w(?P<bits>\d{{1,2}})a16|int-?4|4-?bits?)(?:-asym|-sym)?{GROUP}", _weight_only),
    (rf"hqq{WIDTH}{GROUP}", _hqq),
    (rf"(?:torchao-int4|int4wo|int4-wo|torchao){GROUP}", _torchao_int4),
)
