"""Hostile configurations and headers: an answer or one sentence, within a second and 200 MB, and true to the file.

`scripts/fuzz` mutates more of them, through the whole command; here every key is tried, and readers are asked alone.
"""

from __future__ import annotations

import copy
import io
import json
import struct
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesize.errors import MoesizeError
from moesize.model.architectures import build
from moesize.model.configs import parse_json_mapping, spec_from_config
from moesize.model.fields import Fields
from moesize.model.loader import load_model
from moesize.model.safetensors import header_length, read_header
from moesize.model.spec import ModelSpec
from scripts.fuzz.mutate import places
from scripts.fuzz.seeds import configs

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
SECONDS, MEGABYTES = 1.0, 200


def answered(ask: Callable[[], ModelSpec]) -> ModelSpec | None:
    """What `ask` answers, or None for one sentence; it may be neither slow nor large, nor a count that cannot be."""
    tracemalloc.start()
    begin = time.process_time()
    try:
        spec = ask()
        counts = spec.params
    except MoesizeError as error:
        said = str(error)
        counts = None
    finally:
        seconds = time.process_time() - begin
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # tracing memory itself takes most of the time
        assert seconds < 4 * SECONDS
        assert peak < MEGABYTES * 2**20
    if counts is None:
        assert 0 < len(said) < 1000
        assert "\n" not in said
        return None
    assert counts.total >= counts.active >= 0
    assert all(side > 0 for t in spec.tensors for side in t.shape)
    assert all(0 <= i < spec.num_layers + 64 for t in spec.tensors for i in t.layers or ())
    return spec


def test_every_single_key_can_be_anything() -> None:
    for config in configs():
        for path in (p for p in places(config) if all(isinstance(key, str) for key in p)):
            for value in (None, -1, 0, 2**62, "x", [], {}, 1.5):
                changed = copy.deepcopy(config)
                holder = changed
                for key in path[:-1]:
                    holder = holder[key]
                holder[path[-1]] = value
                with suppress(MoesizeError):
                    # not `spec_from_config`, which turns what a family overlooks into a sentence
                    build(Fields(changed, "config.json"))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' * 200_000,
        b"[" * 2_000_000,
        b'{"model_type": "mixtral", "x": "' + b"y" * 4_000_000 + b'"}',
        b'{"model_type": "mixtral", "layer_types": [' + b'"a",' * 900_000 + b'"b"]}',
        json.dumps({"model_type": "mixtral", "num_hidden_layers": 10**9, "hidden_size": 2**39}).encode(),
        json.dumps({f"key {i}": i for i in range(150_000)}).encode(),
    ],
)  # fmt: skip
def test_a_huge_or_deep_configuration_is_one_sentence(text: bytes) -> None:
    assert answered(lambda: spec_from_config(parse_json_mapping(text, "config.json"), "config.json")) is None


def safetensors_file() -> bytes:
    header = {
        "__metadata__": {"format": "pt"},
        "model.a.weight": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64]},
        "model.b.weight": {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [64, 67]},
    }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(67)


def mutated(data: st.DataObject, whole: bytes) -> bytes:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(changed) - 1)))
        how = data.draw(st.sampled_from(["flip", "cut", "insert", "length", "repeat"]))
        if how == "cut":
            del changed[at:]
        elif how == "insert":
            changed[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif how == "length":
            changed[at : at + 8] = struct.pack(
                "<Q", data.draw(st.sampled_from([0, 1, 2**16, 2**31, 2**40, 2**63, 2**64 - 1]))
            )
        elif how == "repeat":
            changed[at:at] = changed[at : at + 40]
        elif changed:
            changed[at % len(changed)] ^= data.draw(st.integers(1, 255))
    return bytes(changed)


@given(data=st.data())
@settings(FUZZ, max_examples=400)
def test_a_mutated_safetensors_header_is_a_true_list_or_one_sentence(data: st.DataObject) -> None:
    file = mutated(data, safetensors_file())
    begin = time.process_time()
    try:
        length = header_length(file, "a.safetensors", file_bytes=len(file))
        stored = read_header(io.BytesIO(file[8:]), length, "a.safetensors", file_bytes=len(file))
    except MoesizeError as error:
        assert "a.safetensors" in str(error)  # noqa: PT017  any other exception fails the test
    else:
        assert sum(one.n_bytes for one in stored) == len(file) - 8 - length
    assert time.process_time() - begin < SECONDS


@cache
def gguf_file(folder: Path) -> bytes:
    path = folder / "whole.gguf"
    out = gguf.GGUFWriter(path, "llama")
    keys = {
        "block_count": 2,
        "embedding_length": 64,
        "context_length": 128,
        "attention.head_count": 4,
        "expert_used_count": 1,
    }
    for key, value in keys.items():
        out.add_uint32(f"llama.{key}", value)
    out.add_array("llama.attention.head_count_kv", [2, 1])
    out.add_token_list(["a", "bc", "ü"])
    out.add_tensor("token_embd.weight", np.zeros((32, 64), np.float32))
    for i in range(2):
        for name in ("q", "k", "v", "output"):
            out.add_tensor(f"blk.{i}.attn_{name}.weight", np.zeros((64, 64), np.float16))
        out.add_tensor(f"blk.{i}.ffn_up_exps.weight", np.zeros((2, 64, 64), np.float16))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf")


@given(data=st.data())
@settings(FUZZ, max_examples=400)
def test_a_mutated_gguf_header_is_an_answer_or_one_sentence(folder: Path, data: st.DataObject) -> None:
    whole = gguf_file(folder)
    (folder / "x.gguf").write_bytes(mutated(data, whole[:2000]) + whole[2000:])
    spec = answered(lambda: load_model(folder / "x.gguf"))
    if spec:
        assert spec.stored_bytes is not None
        assert spec.stored_bytes <= (folder / "x.gguf").stat().st_size


@given(st.binary(max_size=300))
@FUZZ
def test_any_bytes_after_the_magic_are_one_sentence(folder: Path, rest: bytes) -> None:
    (folder / "y.gguf").write_bytes(b"GGUF" + rest)
    assert answered(lambda: load_model(folder / "y.gguf")) is None


def test_a_vocabulary_without_end_is_skipped_in_time_and_memory(folder: Path) -> None:
    key = b"tokenizer.ggml.tokens"
    head = (
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + struct.pack("<Q", len(key))
        + key
        + struct.pack("<IIQ", 9, 8, 1_500_000)
    )
    (folder / "z.gguf").write_bytes(head + struct.pack("<Q", 3) * 4_000_000)
    begin = time.process_time()
    with pytest.raises(MoesizeError):
        load_model(folder / "z.gguf")
    assert time.process_time() - begin < 2 * SECONDS
