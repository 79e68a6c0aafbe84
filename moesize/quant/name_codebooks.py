"""Names of bitsandbytes', AQLM's and exllama's formats."""

import re

from moesize.quant.codebooks import Aqlm, Bnb4Bit, BnbInt8, Exl2, Exl3
from moesize.quant.formats import WeightFormat
from moesize.quant.name_rules import GROUP, Made, Make, always, by_alias, group_of, parse_with, suffix


def parse(text: str, dtype: str) -> Made | None:
    """What a name stands for."""
    return parse_with(text, dtype, _FIXED, _FAMILIES)


def _bnb(kind: str, *, nested: bool) -> Make:
    name = f"bnb-{kind}" + ("-dq" if nested else "")
    return lambda dtype: (name, "bitsandbytes", Bnb4Bit(kind, nested=nested, dtype=dtype))


def _aqlm(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    books, code, group = int(match["books"] or 1), int(match["code"] or 16), group_of(match, 8)
    return f"aqlm-{books}x{code}{suffix(group, 8)}", "aqlm", Aqlm(books, code, group)


def _exl(match: re.Match[str], dtype: str) -> Made:  # noqa: ARG001
    target, method = float(match["bpw"]), match["exl"]
    fmt: WeightFormat = Exl2(target) if method == "exl2" else Exl3(target)
    return f"{method}-{target:g}bpw", method, fmt


_FIXED = by_alias(
    (
        (
            "bnb-int8 bnb-8bit bitsandbytes-8bit bitsandbytes-int8 llm-int8 llm.int8",
            always("bnb-int8", "bitsandbytes", BnbInt8()),
        ),
        ("bnb-nf4 nf4 bnb bitsandbytes bnb-4bit bitsandbytes-4bit bitsandbytes-nf4", _bnb("nf4", nested=False)),
        ("bnb-nf4-dq nf4-dq nf4-double-quant bnb-4bit-dq qlora", _bnb("nf4", nested=True)),
        ("bnb-fp4 bitsandbytes-fp4", _bnb("fp4", nested=False)),
        ("bnb-fp4-dq", _bnb("fp4", nested=True)),
    )
)
_FAMILIES = (
    (rf"aqlm(?:-2-?bits?|-(?P<books>\d{{1,2}})x(?P<code>\d{{1,2}}))?{GROUP}", _aqlm),
    (r"(?P<exl>exl[23])-?(?P<bpw>\d{1,2}(?:\.\d{1,3})?)-?(?:bpw|bits?)?", _exl),
)
