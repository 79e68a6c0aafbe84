"""Headers of GGUF files: metadata and the exact list of tensors, without reading a weight.

Our own reader and not the `gguf` package: that one needs numpy, maps the whole file and builds arrays of every token of
the vocabulary; a header is read here in one pass that keeps the numbers and skips the vocabulary, and trusts no length.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from moesize.errors import InputError, printable
from moesize.model.fields import MAX_DIMENSION
from moesize.model.ggml import TYPES, GgmlType

Value = int | float | bool | str | list[int] | list[float] | None

_MAX_STRING: Final = 1 << 16
_MAX_KEY_STRING: Final = 1 << 30
_MAX_KEPT: Final = 1 << 16
_MAX_STRINGS: Final = 1 << 22
_MAX_KEYS: Final = 1 << 16
_MAX_TENSORS: Final = 1 << 20

#: Formats of the fixed-size value types, by their number; 8 is a string, 9 an array.
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9


class GgufTensor(NamedTuple):
    """One tensor: its shape rows first (ggml lists the row length first), its type, its bytes, and where they begin."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    n_bytes: int
    offset: int


class GgufHeader(NamedTuple):
    """What stands before the data: numbers and short strings by key, the length of longer lists, and the tensors."""

    metadata: Mapping[str, Value]
    lengths: Mapping[str, int]
    tensors: Sequence[GgufTensor]


def read_file(path: Path) -> GgufHeader:
    """The header of one file.

    Raises:
        InputError: unreadable, cut off, or not a GGUF file.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size, str(path)).header()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


class _Reader:
    """One pass over a header. Every length is held against what is left of the file before anything is read."""

    def __init__(self, file: BinaryIO, size: int, where: str) -> None:
        self._file, self._size, self._where = file, size, where
        self._order = "<"
        self._count = "Q"

    def header(self) -> GgufHeader:
        if self._take(4) != b"GGUF":
            raise InputError(f"{self._where} is no GGUF file")
        version = self._number("I")
        if version > 0xFFFF:  # written on a machine of the other byte order
            self._order = ">"
            version = struct.unpack(">I", struct.pack("<I", version))[0]
        if version not in (1, 2, 3):
            raise InputError(f"{self._where} is GGUF version {version}; 1 to 3 are known")
        self._count = "I" if version == 1 else "Q"
        n_tensors, n_keys = self._number(self._count), self._number(self._count)
        if n_tensors > _MAX_TENSORS or n_keys > _MAX_KEYS:
            raise self._wrong(f"{n_tensors} tensors and {n_keys} keys")
        metadata: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in range(n_keys):
            key = self._text(_MAX_STRING)
            if key in metadata:
                raise self._wrong(f"the key {printable(key)!r} stands there twice")
            metadata[key], lengths[key] = self._value(self._number("I"))
        infos = [self._tensor() for _ in range(n_tensors)]
        return GgufHeader(metadata, lengths, self._placed(infos, metadata))

    def _tensor(self) -> GgufTensor:
        name = self._text(_MAX_STRING)
        n_dims = self._number("I")
        if not 0 <= n_dims <= 4:
            raise self._wrong(f"{printable(name)!r} has {n_dims} dimensions")
        dims = [self._number(self._count) for _ in range(n_dims)]
        kind = TYPES.get(number := self._number("I"))
        offset = self._number("Q")
        if kind is None:
            raise self._wrong(f"{printable(name)!r} is of the unknown type {number}")
        if any(not 0 < dim <= MAX_DIMENSION for dim in dims) or (dims and dims[0] % kind.block):
            raise self._wrong(f"{printable(name)!r} cannot have the dimensions {dims} in {kind.name}")
        return GgufTensor(name, tuple(reversed(dims)), kind, kind.n_bytes(prod(dims)), offset)

    def _placed(self, tensors: list[GgufTensor], metadata: Mapping[str, Value]) -> list[GgufTensor]:
        """The tensors, once it is sure that their data lie one behind the other inside the file."""
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 20:
            raise self._wrong(f"an alignment of {alignment}")
        start = -(-self._file.tell() // alignment) * alignment
        end, names = 0, set()
        for tensor in sorted(tensors, key=lambda one: one.offset):
            if tensor.offset < end or tensor.offset > end + alignment:
                raise self._wrong(f"{printable(tensor.name)!r} overlaps another tensor or leaves a gap")
            end = tensor.offset + tensor.n_bytes
            if tensor.name in names:
                raise self._wrong(f"{printable(tensor.name)!r} stands there twice")
            names.add(tensor.name)
        if tensors and start + end > self._size:
            raise InputError(
                f"{self._where} is cut off: its tensors end at byte {start + end}, the file has {self._size}"
            )
        return tensors

    def _value(self, kind: int) -> tuple[Value, int]:
        """A value and, of a list, its length; long lists and strings are skipped and None."""
        if kind in _SCALARS:
            number: int | float | bool = self._number(_SCALARS[kind])
            return number, 1
        if kind == _STRING:
            length = self._length()
            if length > _MAX_STRING:
                self._skip(length)
                return None, 1
            return self._decoded(self._take(length)), 1
        if kind != _ARRAY:
            raise self._wrong(f"a value of the unknown type {kind}")
        item, length = self._number("I"), self._number(self._count)
        if item == _STRING:
            self._skip_strings(length)
            return None, length
        if item not in _SCALARS:
            raise self._wrong(f"a list of the type {item}")
        code = _SCALARS[item]
        n_bytes = length * struct.calcsize(code)
        if length > _MAX_KEPT:
            self._skip(n_bytes)
            return None, length
        return list(struct.unpack(f"{self._order}{length}{code}", self._take(n_bytes))), length

    def _skip_strings(self, count: int) -> None:
        if count > _MAX_STRINGS:
            raise self._wrong(f"a list of {count} strings")
        unpack = struct.Struct(f"{self._order}{self._count}").unpack
        width, read, seek = struct.calcsize(f"<{self._count}"), self._file.read, self._file.seek
        for _ in range(count):
            data = read(width)
            if len(data) < width or (length := unpack(data)[0]) > _MAX_KEY_STRING:
                raise self._cut_off()
            if length:
                # a read within the buffer is quicker than a seek
                if length < 4096:
                    read(length)
                else:
                    seek(length, 1)
        if self._file.tell() > self._size:
            raise self._cut_off()

    def _number(self, code: str) -> int:
        size = struct.calcsize(f"<{code}")
        value: int = struct.unpack(f"{self._order}{code}", self._take(size))[0]
        return value

    def _length(self) -> int:
        length = self._number(self._count)
        if length > self._size:
            raise self._cut_off()
        return length

    def _text(self, longest: int) -> str:
        length = self._length()
        if length > longest:
            raise self._wrong(f"a name of {length} bytes")
        return self._decoded(self._take(length))

    def _decoded(self, data: bytes) -> str:
        return data.decode("utf-8", errors="replace")

    def _take(self, n_bytes: int) -> bytes:
        if n_bytes > self._size:
            raise self._cut_off()
        data = self._file.read(n_bytes)
        if len(data) < n_bytes:
            raise self._cut_off()
        return data

    def _skip(self, n_bytes: int) -> None:
        if self._file.tell() + n_bytes > self._size:
            raise self._cut_off()
        self._file.seek(n_bytes, 1)

    def _cut_off(self) -> InputError:
        return InputError(f"{self._where} is cut off: its GGUF header ends beyond the file")

    def _wrong(self, what: str) -> InputError:
        return InputError(f"{self._where} is damaged or no GGUF file: its header has {what}")
