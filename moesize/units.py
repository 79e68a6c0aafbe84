"""Units: bytes are integers, memory is shown in GiB (2^30)."""

from typing import Final

from moesize.errors import InputError, printable

KIB: Final = 2**10
MIB: Final = 2**20
GIB: Final = 2**30

_SUFFIX_BYTES: Final = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": 2**40,
}

#: Bytes of one element of each dtype a tensor or a cache can be stored in.
DTYPE_BYTES: Final[dict[str, int]] = {
    "float64": 8,
    "int64": 8,
    "float32": 4,
    "int32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float8_e8m0fnu": 1,
}

_DTYPE_NAMES: Final = {
    "fp32": "float32",
    "float": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f16": "float16",
}


def dtype_name(name: str) -> str:
    """The one spelling used here of a floating dtype: `bf16`, `torch.bfloat16` and `bfloat16` are `bfloat16`.

    Raises:
        InputError: a dtype nothing is known about.
    """
    short = name.removeprefix("torch.").lower()
    full = _DTYPE_NAMES.get(short, short)
    if full not in DTYPE_BYTES:
        raise InputError(f"unknown dtype {printable(name)!r}; known are {', '.join(sorted(DTYPE_BYTES))}")
    return full


def ceil_div(a: int, b: int) -> int:
    """The smallest integer not below a / b."""
    return -(-a // b)


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` not below `value`."""
    return ceil_div(value, multiple) * multiple


def gib(n_bytes: float) -> float:
    """`n_bytes` in GiB."""
    return n_bytes / GIB


def parse_bytes(text: str) -> int:
    """Bytes of a size with its unit: `24GiB`, `24 GB` (10^9), `512MiB`.

    Raises:
        InputError: no number, no unit, or a size that is not positive.
    """
    compact = text.strip().lower().replace(" ", "").replace("_", "")
    digits = compact.rstrip("abcdefghijklmnopqrstuvwxyz")
    factor = _SUFFIX_BYTES.get(compact[len(digits) :])
    try:
        number = float(digits)
    except ValueError:
        number = 0.0
    if factor is None or not 0 < number < float(2**60):
        raise InputError(f"{printable(text)!r} is not a size; write it like 24GiB, 80GB or 512MiB")
    return int(number * factor)
