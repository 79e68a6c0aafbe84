"""The grammar of quantisation names: fixed names, and families with a width and a group size."""

import re
from collections.abc import Callable

from moesize.quant import codebooks, floats, integers
from moesize.quant.formats import WeightFormat

#: Canonical name, method as engines name it, format.
Made = tuple[str, str, WeightFormat]

#: What is not quantised: canonical name and dtype.
PLAIN = {
    alias: (canonical, dtype)
    for canonical, dtype, aliases in (
        ("fp32", "float32", ("fp32", "float32", "f32")),
        ("fp16", "float16", ("fp16", "float16", "f16", "half", "16bit")),
        ("bf16", "bfloat16", ("bf16", "bfloat16")),
    )
    for alias in aliases
}


def normal(name: str) -> str:
    """A name in lower case with `-` between its words."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def parse(text: str, dtype: str) -> Made | None:
    """What a normalised name stands for when the rest of the model is `dtype`; None when it fits no rule.

    Raises:
        InputError: a width or group size the format does not have.
    """
    fixed = _FIXED.get(text)
    made = fixed(dtype) if fixed else None
    if made is None:
        for pattern, make in _FAMILIES:
            # Compiled only when the rules before it did not fit: most questions need none or one of them.
            match = re.fullmatch(pattern, text)
            if match:
                made = make(match, dtype)
                break
    if made:
        made[2].check(2**15, 2**15)
    return made


def _gptq(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    bits, group = _bits(match), _group(match, 128)
    return f"gptq-{bits}bit{_suffix(group, 128)}", "gptq", integers.Gptq(bits, group)


def _awq(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    bits, group = _bits(match), _group(match, 128)
    return f"awq-{bits}bit{_suffix(group, 128)}", "awq", integers.Awq(bits, group)


def _weight_only(match: re.Match[str], dtype: str) -> Made:
    bits, asymmetric = _bits(match), "asym" in match[0]
    default = 128 if bits == 4 else -1
    group = _group(match, default)
    name = f"w{bits}a16{'-asym' if asymmetric else ''}{_suffix(group, default)}"
    return name, "compressed-tensors", integers.PackedInt(bits, group, dtype, symmetric=not asymmetric)


def _hqq(match: re.Match[str], dtype: str) -> Made:
    bits, group = _bits(match), _group(match, 64)
    return f"hqq-{bits}bit{_suffix(group, 64)}", "hqq", integers.Hqq(bits, group, scale_dtype=dtype)


def _aqlm(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    books, code, group = int(match["books"] or 1), int(match["code"] or 16), _group(match, 8)
    return f"aqlm-{books}x{code}{_suffix(group, 8)}", "aqlm", codebooks.Aqlm(books, code, group)


def _exl(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    target, method = float(match["bpw"]), match["exl"]
    fmt = codebooks.Exl2(target) if method == "exl2" else codebooks.Exl3(target)
    return f"{method}-{target:g}bpw", method, fmt


def _torchao_int4(match: re.Match[str], dtype: str) -> Made:
    group = _group(match, 128)
    return f"torchao-int4{_suffix(group, 128)}", "torchao", integers.GroupedInt(4, group, dtype, "torchao int4")


def _bits(match: re.Match[str]) -> int:
    return int(match["bits"] or 4)


def _group(match: re.Match[str], default: int) -> int:
    return int(match["group"] or match["size"] or default)


def _suffix(group: int, default: int) -> str:
    return "" if group == default else f"-g{group}"


def _always(name: str, method: str, fmt: WeightFormat) -> Callable[[str], Made]:
    return lambda _dtype: (name, method, fmt)


def _quanto(kind: str) -> Callable[[str], Made]:
    def make(dtype: str) -> Made:
        if kind == "float8":
            return f"quanto-{kind}", "quanto", floats.Fp8Channel(dtype)
        bits = int(kind.removeprefix("int"))
        grouped = integers.GroupedInt(bits, 128, dtype, f"quanto {kind}")
        return f"quanto-{kind}", "quanto", integers.Int8(dtype) if bits == 8 else grouped

    return make


def _bnb(kind: str, *, nested: bool) -> Callable[[str], Made]:
    name = f"bnb-{kind}" + ("-dq" if nested else "")
    return lambda dtype: (name, "bitsandbytes", codebooks.Bnb4Bit(kind, nested=nested, dtype=dtype))


_WIDTH = r"(?:-(?:int|w)?(?P<bits>\d{1,2})-?(?:bits?)?)?"
_GROUP = r"(?:-g(?:roup-?)?(?P<group>-?\d{1,6})|-(?P<size>\d{1,6})g)?"
_FAMILIES: tuple[tuple[str, Callable[[re.Match[str], str], Made]], ...] = (
    (rf"(?:gptqmodel|gptq|auto-?round){_WIDTH}{_GROUP}(?:-(?:desc-act|act-?order)(?:-true)?)?", _gptq),
    (rf"(?:auto)?awq{_WIDTH}{_GROUP}", _awq),
    (rf"(?:w(?P<bits>\d{{1,2}})a16|int-?4|4-?bits?)(?:-asym|-sym)?{_GROUP}", _weight_only),
    (rf"hqq{_WIDTH}{_GROUP}", _hqq),
    (rf"aqlm(?:-2-?bits?|-(?P<books>\d{{1,2}})x(?P<code>\d{{1,2}}))?{_GROUP}", _aqlm),
    (r"(?P<exl>exl[23])-?(?P<bpw>\d{1,2}(?:\.\d{1,3})?)-?(?:bpw|bits?)?", _exl),
    (rf"(?:torchao-int4|int4wo|int4-wo|torchao){_GROUP}", _torchao_int4),
)  # fmt: skip

_FIXED: dict[str, Callable[[str], Made]] = {
    alias: make
    for aliases, make in (
        ("fp8 float8 fp8-e4m3 w8a8-fp8 fp8-w8a8 fp8-tensor fp8-per-tensor", _always("fp8", "fp8", floats.Fp8Tensor())),
        ("fp8-static modelopt-fp8", _always("fp8-static", "modelopt", floats.Fp8Tensor(static_inputs=True))),
        ("fp8-channel fp8-dynamic fp8-per-channel ptpc-fp8 fbgemm-fp8",
         lambda dtype: ("fp8-channel", "compressed-tensors", floats.Fp8Channel(dtype))),
        ("fp8-block fp8-128x128 block-fp8 fp8-blockwise deepseek-fp8", _always("fp8-block", "fp8", floats.Fp8Block())),
        ("mxfp8", _always("mxfp8", "compressed-tensors", floats.MxFp8())),
        ("mxfp4 mx-fp4", _always("mxfp4", "mxfp4", floats.MxFp4(weight_name=".weight"))),
        ("quark-mxfp4 quark quark-w-mxfp4", _always("quark-mxfp4", "quark", floats.MxFp4(weight_name=".weight"))),
        ("nvfp4 nv-fp4 modelopt-nvfp4 modelopt-fp4 fp4", _always("nvfp4", "modelopt", floats.NvFp4(modelopt=True))),
        ("nvfp4a16 w4a16-nvfp4 nvfp4-a16",
         _always("nvfp4a16", "compressed-tensors", floats.NvFp4(static_inputs=False))),
        ("int8 w8a8 w8a8-int8 int8-w8a8 8bit 8-bit smoothquant",
         lambda dtype: ("int8", "compressed-tensors", integers.Int8(dtype))),
        ("bnb-int8 bnb-8bit bitsandbytes-8bit bitsandbytes-int8 llm-int8 llm.int8",
         _always("bnb-int8", "bitsandbytes", codebooks.BnbInt8())),
        ("bnb-nf4 nf4 bnb bitsandbytes bnb-4bit bitsandbytes-4bit bitsandbytes-nf4", _bnb("nf4", nested=False)),
        ("bnb-nf4-dq nf4-dq nf4-double-quant bnb-4bit-dq qlora", _bnb("nf4", nested=True)),
        ("bnb-fp4 bitsandbytes-fp4", _bnb("fp4", nested=False)),
        ("bnb-fp4-dq", _bnb("fp4", nested=True)),
        ("torchao-int8 int8wo int8-wo", lambda dtype: ("torchao-int8", "torchao", integers.Int8(dtype))),
        ("torchao-float8 torchao-fp8 float8wo", _always("torchao-float8", "torchao", floats.Fp8Channel())),
        ("quanto-int8 quanto", _quanto("int8")),
        ("quanto-int4", _quanto("int4")),
        ("quanto-int2", _quanto("int2")),
        ("quanto-float8 quanto-fp8", _quanto("float8")),
        ("eetq", _always("eetq", "eetq", integers.Int8("float16", scale_suffix=".weight_scales"))),
    )
    for alias in aliases.split()
}  # fmt: skip
