"""Weight files small enough to make thousands of: safetensors and GGUF, written by their specifications."""

import json
import struct
from math import prod
from typing import Any

_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "F8_E4M3": 1, "U8": 1, "I32": 4}

GgufKey = tuple[str, int, Any]
GgufTensor = tuple[str, list[int], int]

#: GGUF value types: struct code by number; 8 is a string, 9 a list (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U32, F32, STRING, ARRAY = 4, 6, 8, 9
_ELEMENT_BYTES = {0: 4, 1: 2}


def safetensors_header(arrays: dict[str, tuple[str, list[int]]]) -> tuple[dict[str, Any], int]:
    """The header of arrays that lie one behind the other, and the bytes they take."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in arrays.items():
        begin, end = end, end + prod(shape) * _BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    return header, end


def safetensors_file(header: bytes, n_bytes: int) -> bytes:
    """A file of a header and so many bytes of data."""
    return struct.pack("<Q", len(header)) + header + bytes(n_bytes)


def as_json(value: Any) -> bytes:  # noqa: ANN401  whatever a mutation left
    """JSON as its writers write it."""
    return json.dumps(value).encode("utf-8", "replace")


def gguf_file(keys: list[GgufKey], tensors: list[GgufTensor], *, data_bytes: int | None = None) -> bytes:
    """A GGUF file, version 3: keys with their types, and tensors (dimensions as stored, type number) with their data."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for key, kind, value in keys:
        out += _text(key) + struct.pack("<I", kind) + _value(kind, value)
    offset = 0
    for name, dims, kind in tensors:
        out += _text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset % 2**64)
        offset += -(-prod(dims) * _ELEMENT_BYTES.get(kind, 1) // 32) * 32
    return out + bytes(-len(out) % 32) + bytes(min(offset if data_bytes is None else data_bytes, 2**20))


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return struct.pack("<Q", len(data)) + data


def _value(kind: int, value: Any) -> bytes:  # noqa: ANN401
    if kind == STRING:
        return _text(str(value))
    if kind == ARRAY:
        item, values = value
        return struct.pack("<IQ", item, len(values)) + b"".join(_value(item, one) for one in values)
    return struct.pack(f"<{_CODES[kind]}", value)
