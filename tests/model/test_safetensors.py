"""Headers of safetensors files: right where the library that writes them is, and one sentence for what is damaged."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from moesize.errors import InputError
from moesize.model.safetensors import DTYPE_BITS, Stored, header_length, read_file, read_header


def raw(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: object = (2, 2), offsets: object = (0, 16), **more: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def parse(data: bytes) -> list[Stored]:
    length = header_length(data, "a.safetensors", file_bytes=len(data))
    return read_header(io.BytesIO(data[8:]), length, "a.safetensors", file_bytes=len(data))


def test_every_dtype_is_read_as_the_library_wrote_it(tmp_path: Path) -> None:
    dtypes = [
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2,
    ]  # fmt: skip
    tensors = {f"t{i}": torch.zeros(3, 5 + i).to(dtype) for i, dtype in enumerate(dtypes)}
    tensors |= {"scalar": torch.zeros(()), "empty": torch.zeros(0, 7), "ünïcode.weight": torch.zeros(1)}
    save_file(tensors, tmp_path / "m.safetensors", {"format": "pt"})
    stored = {one.name: one for one in read_file(tmp_path / "m.safetensors")}
    assert stored.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert stored[name].shape == tuple(tensor.shape)
        assert stored[name].n_bytes == tensor.numel() * tensor.element_size()


def test_packed_four_bit_elements_take_half_a_byte() -> None:
    assert parse(raw({"w": entry("F4", (4, 8), (0, 16))}, bytes(16)))[0].n_bytes == 16
    assert DTYPE_BITS["F8_E8M0"] == 8


def test_a_header_longer_than_the_window_is_read(tmp_path: Path) -> None:
    header: dict[str, object] = {"__metadata__": {"note": "ß" * 3_000_000}}
    for i in range(40_000):
        header[f"model.layers.{i}.mlp.weight"] = entry("U8", (3,), (3 * i, 3 * i + 3))
    path = tmp_path / "big.safetensors"
    path.write_bytes(raw(json.dumps(header, ensure_ascii=False).encode(), bytes(120_000)))
    assert len(read_file(path)) == 40_000


def test_white_space_is_allowed() -> None:
    assert (
        len(
            parse(
                raw(
                    b' {  "a" : {"dtype":"U8","shape":[1],"data_offsets":[0,1]}\n , "b":\t{"dtype":"U8","shape":[],"data_offsets":[1,2]} }   ',
                    b"12",
                )
            )
        )
        == 2
    )
    assert parse(raw(b"{}")) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes"),
        (b"\x01\x02", "has 2 bytes"),
        (raw({}, length=2**63), "ends beyond it"),
        (raw({"a": entry()}, bytes(16))[:40], "ends beyond it"),
        (raw({"a": entry()}, bytes(15)), "describes 16 bytes of data, the file holds 15"),
        (raw({"a": entry()}, bytes(17)), "describes 16 bytes of data, the file holds 17"),
        (raw(b"[1, 2, 3]"), "not the JSON"),
        (raw(b'{"a": {"dtype": "F32"'), "not the JSON"),
        (raw(b'{"a" 1}'), "not the JSON"),
        (raw(b"{1: 2}"), "not the JSON"),
        (raw(b"{" + b'"a":{' * 5000), "not the JSON"),
        (raw(b'{"a":' + b"[" * 100_000), "not the JSON"),
        (raw(b'{"\xff": 1}'), "not the JSON"),
        (raw({"a": 3}), "has not dtype, shape and data_offsets"),
        (raw({"a": entry(extra=1)}), "has not dtype, shape and data_offsets"),
        (raw({"a": entry("F99")}), "unknown dtype 'F99'"),
        (raw({"a": {**entry(), "dtype": ["F32"]}}), "unknown dtype"),
        (raw({"a": entry(shape=(-1, 4))}), "impossible shape"),
        (raw({"a": entry(shape=(2**60, 2**60))}), "impossible shape"),
        (raw({"a": entry(shape=(1,) * 40)}), "impossible shape"),
        (raw({"a": entry(shape=(True, 4))}), "impossible shape"),
        (raw({"a": entry(shape=(2.0, 2))}), "impossible shape"),
        (raw({"a": {**entry(), "shape": "22"}}), "impossible shape"),
        (raw({"a": entry(offsets=(16, 0))}, bytes(16)), "takes 16 bytes, not -16"),
        (raw({"a": entry(offsets=(0, 8))}, bytes(16)), "takes 16 bytes, not 8"),
        (raw({"a": entry(offsets=(0, 16, 32))}), "impossible data_offsets"),
        (raw({"a": entry(offsets=(0, 2**80))}), "impossible data_offsets"),
        (raw({"a": entry(offsets=(4, 20))}, bytes(20)), "overlap or leave a gap at byte 0"),
        (raw({"a": entry(), "b": entry(offsets=(8, 24))}, bytes(24)), "overlap or leave a gap at byte 16"),
        (raw(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"12"), "'a' stands twice"),
        (raw(b'{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}}', b"1"), "not the JSON"),
        (raw(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,1]}}', b"1"), "not the JSON"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(data)
    assert message in str(caught.value)
    assert "a.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_length_beyond_the_format_is_refused_before_anything_is_read() -> None:
    with pytest.raises(InputError, match="the format allows 100 MB"):
        header_length(struct.pack("<Q", 100_000_001), "x", file_bytes=2**40)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        read_file(tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match="cannot read"):
        read_file(tmp_path)
