"""Headers of safetensors files: the exact list of what is stored, without reading a weight.

Format: eight bytes with the header's length, the header (a JSON object: name → dtype, shape, data_offsets), the data
(https://github.com/huggingface/safetensors#format). The header is read entry by entry, so a lying or hostile file costs
neither time nor memory before it is refused.
"""

import codecs
import json
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from moesize.errors import InputError, printable
from moesize.model.fields import MAX_DIMENSION

#: The format's own limit.
MAX_HEADER_BYTES: Final = 100_000_000

_MAX_DIMENSIONS: Final = 32
_CHUNK_BYTES: Final = 1 << 20
#: An entry (a name, a dtype, some numbers) that is longer than this is none; `__metadata__` may be.
_LONGEST_ENTRY: Final = 1 << 16
_LONGEST_METADATA: Final = 1 << 23

#: Bits of an element, and our name of the dtype where a model's weights are computed in it.
DTYPE_BITS: Final = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32,
    "U16": 16, "U8": 8, "BOOL": 8, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
FLOAT_DTYPES: Final = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class Stored(NamedTuple):
    """One array of a checkpoint file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_bytes: int


def read_file(path: Path) -> list[Stored]:
    """The arrays of one local file.

    Raises:
        InputError: unreadable, cut off, or not a safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = header_length(file.read(8), str(path), file_bytes=size)
            return read_header(file, length, str(path), file_bytes=size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def header_length(first: bytes, where: str, *, file_bytes: int | None = None) -> int:
    """The header's length from a file's first eight bytes.

    Raises:
        InputError: fewer than eight, or a length no header of this file can have.
    """
    if len(first) < 8:
        raise InputError(f"{where} is no safetensors file: it has {len(first)} bytes, a header's length takes 8")
    length: int = struct.unpack("<Q", first[:8])[0]
    if file_bytes is not None and length > file_bytes - 8:
        raise InputError(f"{where} is cut off or no safetensors file: its header of {length} bytes ends beyond it")
    if not 2 <= length <= MAX_HEADER_BYTES:
        raise InputError(f"{where} is no safetensors file: a header of {length} bytes; the format allows 100 MB")
    return length


def read_header(file: BinaryIO, length: int, where: str, *, file_bytes: int | None = None) -> list[Stored]:
    """The arrays a header of `length` bytes lists, read from where `file` stands.

    Raises:
        InputError: the header is cut off or no list of arrays, or its arrays overlap or leave gaps.
    """
    found: list[Stored] = []
    names: set[str] = set()
    spans: list[tuple[int, int]] = []
    for name, entry in _entries(file, length, where):
        if name in names:
            raise InputError(f"{where}: {printable(name)!r} stands twice in the header")
        names.add(name)
        if name == "__metadata__":
            continue
        stored, begin = _array(name, entry, where)
        found.append(stored)
        spans.append((begin, stored.n_bytes))
    end = 0
    for begin, n_bytes in sorted(spans):
        if begin != end:
            raise InputError(f"{where}: its arrays overlap or leave a gap at byte {end} of the data")
        end += n_bytes
    if file_bytes is not None and end != file_bytes - 8 - length:
        raise InputError(
            f"{where} is cut off or damaged: its header describes {end} bytes of data, the file holds "
            f"{file_bytes - 8 - length}"
        )
    return found


def _array(name: str, entry: Any, where: str) -> tuple[Stored, int]:  # noqa: ANN401  whatever the JSON holds
    """One entry checked, with the byte it begins at."""
    shown = f"{where}: {printable(name)!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{shown} has not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise InputError(f"{shown} has the unknown dtype {printable(repr(dtype), 40)}")
    if not _whole_numbers(shape, MAX_DIMENSION) or len(shape) > _MAX_DIMENSIONS:
        raise InputError(f"{shown} has the impossible shape {printable(repr(shape), 60)}")
    if not _whole_numbers(offsets, 2**63) or len(offsets) != 2:
        raise InputError(f"{shown} has the impossible data_offsets {printable(repr(offsets), 60)}")
    n_bytes = -(-prod(shape) * bits // 8)
    if offsets[1] - offsets[0] != n_bytes:
        raise InputError(f"{shown}: {dtype} of shape {shape} takes {n_bytes} bytes, not {offsets[1] - offsets[0]}")
    return Stored(name, dtype, tuple(shape), n_bytes), offsets[0]


def _whole_numbers(value: Any, limit: int) -> bool:  # noqa: ANN401  whatever the JSON holds
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= limit for n in value)


def _entries(file: BinaryIO, length: int, where: str) -> Iterator[tuple[str, Any]]:
    """The members of the header's JSON object one by one, holding only a window of its text."""
    text = _Window(file, length, where)
    text.take("{")
    if text.peek() == "}":
        return
    while True:
        name = text.value(_LONGEST_ENTRY)
        if not isinstance(name, str):
            raise text.wrong()
        text.take(":")
        yield name, text.value(_LONGEST_METADATA if name == "__metadata__" else _LONGEST_ENTRY)
        if text.peek() == "}":
            return
        text.take(",")


class _Window:
    """A moving part of a long JSON text."""

    def __init__(self, file: BinaryIO, length: int, where: str) -> None:
        self._file, self._left, self._where = file, length, where
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._json = json.JSONDecoder(object_pairs_hook=_once)
        self._text, self._at = "", 0

    def wrong(self) -> InputError:
        return InputError(
            f"{self._where} is no safetensors file, or damaged: its header is not the JSON the format asks for"
        )

    def peek(self) -> str:
        """The next character that is no white space."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise self.wrong()

    def take(self, character: str) -> None:
        if self.peek() != character:
            raise self.wrong()
        self._at += 1

    def value(self, longest: int) -> Any:  # noqa: ANN401  whatever the JSON holds
        """The next JSON value."""
        self.peek()
        while len(self._text) - self._at < _LONGEST_ENTRY and self._more():
            pass
        while True:
            try:
                found, self._at = self._json.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                held = len(self._text) - self._at
                if held >= longest or not self._more(held):
                    raise self.wrong() from None
            else:
                return found

    def _more(self, at_least: int = 0) -> bool:
        """Reads on, at least as much as is held (so that a long value is not decoded again for every chunk)."""
        if not self._left:
            return False
        data = self._file.read(min(self._left, max(_CHUNK_BYTES, at_least)))
        if not data:
            raise InputError(f"{self._where} is cut off: its header ends too early")
        self._left -= len(data)
        try:
            decoded = self._decode(data, final=not self._left)
        except UnicodeDecodeError:
            raise self.wrong() from None
        self._text, self._at = self._text[self._at :] + decoded, 0
        return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found
