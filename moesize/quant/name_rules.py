"""The grammar of quantisation names; each family of formats reads its own."""

import re
from collections.abc import Callable, Mapping
from importlib import import_module

from moesize.quant.formats import WeightFormat

#: Canonical name, method as engines name it, format.
Made = tuple[str, str, WeightFormat]
#: What a name makes when the rest of the model is in the given dtype.
Make = Callable[[str], Made]
MakeMatched = Callable[[re.Match[str], str], Made]

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
#: The first word of a name -> module of this package that reads it with `parse(text, dtype)`.
_READERS = {
    word: module
    for module, words in (
        ("name_integers", "gptq gptqmodel auto autoround awq autoawq hqq torchao quanto eetq smoothquant"),
        ("name_integers", "w1a16 w2a16 w3a16 w4a16 w5a16 w6a16 w7a16 w8a16 w8a8 int4 int8 int 4bit 8bit 4 8"),
        ("name_integers", "int4wo int8wo float8wo"),
        ("name_floats", "fp8 float8 f8 e4m3 ptpc fbgemm block deepseek modelopt quark"),
        ("name_floats", "mxfp8 mxfp6 mxfp4 mx nvfp4 nvfp4a16 nv fp4"),
        ("name_codebooks", "bnb bitsandbytes llm llm.int8 nf4 qlora aqlm exl2 exl3"),
    )
    for word in words.split()
}  # fmt: skip
#: Names whose first word belongs to another family.
_EXCEPTIONS = {"w8a8-fp8": "name_floats", "w4a16-nvfp4": "name_floats"}


def normal(name: str) -> str:
    """A name in lower case with `-` between its words."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def parse(text: str, dtype: str) -> Made | None:
    """What a normalised name stands for when the rest of the model is `dtype`; None when it fits no rule.

    Raises:
        InputError: a width or group size the format does not have.
    """
    first = text.split("-", 1)[0]
    module = _EXCEPTIONS.get(text) or _READERS.get(first)
    if module is None and first[:4] in ("exl2", "exl3"):
        module = "name_codebooks"
    if module is None:
        return None
    made: Made | None = import_module(f"moesize.quant.{module}").parse(text, dtype)
    if made:
        made[2].check(2**15, 2**15)
    return made


def parse_with(
    text: str, dtype: str, fixed: Mapping[str, Make], families: tuple[tuple[str, MakeMatched], ...]
) -> Made | None:
    """The first of the `fixed` names and the patterns of `families` that `text` is."""
    if text in fixed:
        return fixed[text](dtype)
    for pattern, make in families:
        match = re.fullmatch(pattern, text)
        if match:
            return make(match, dtype)
    return None


def by_alias(rows: tuple[tuple[str, Make], ...]) -> dict[str, Make]:
    """Every word of each row's first column, with the row's second."""
    return {alias: make for aliases, make in rows for alias in aliases.split()}


def always(name: str, method: str, fmt: WeightFormat) -> Make:
    """The same format whatever the model's dtype is."""
    return lambda _dtype: (name, method, fmt)


#: `-4bit`, `-int4`, `-w4`.
WIDTH = r"(?:-?(?:int|w)?(?P<bits>\d{1,2})-?(?:bits?)?)?"
#: `-g128`, `-g-1`, `-group-64`, `-128g`.
GROUP = r"(?:-g(?:roup-?)?(?P<group>-?\d{1,6})|-(?P<size>\d{1,6})g)?"


def bits_of(match: re.Match[str]) -> int:
    """The width a name states; 4 when it states none."""
    return int(match["bits"] or 4)


def group_of(match: re.Match[str], default: int) -> int:
    """The group size a name states."""
    return int(match["group"] or match["size"] or default)


def suffix(group: int, default: int) -> str:
    """How a canonical name tells a group size other than the default."""
    return "" if group == default else f"-g{group}"
