"""GGUF files as llama.cpp's own package writes them: exact bytes and types, caches from the metadata."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Q

from moesize.errors import InputError, MoesizeError
from moesize.model import ggml
from moesize.model.gguf import read_file
from moesize.model.loader import load_model
from moesize.model.spec import CacheKind, ModelSpec, Role, Split

Q4, Q6, F32 = Q.Q4_K, Q.Q6_K, Q.F32


class Writer:
    """A file made tensor by tensor; dimensions as in the checkpoint, rows first."""

    def __init__(self, path: Path, architecture: str, blocks: int, **keys: object) -> None:
        self.path, self.elements, self.bytes = path, 0, 0
        self.out = gguf.GGUFWriter(path, architecture)
        keys = {"block_count": blocks, "embedding_length": 256, "context_length": 4096, "attention.head_count": 4} | {
            key.replace("__", "."): value for key, value in keys.items()
        }
        for key, value in keys.items():
            add = self.out.add_array if isinstance(value, list) else self.out.add_uint32
            add(f"{architecture}.{key}", value)
        self.out.add_token_list([f"token {i}" for i in range(300)])
        self.tensor("token_embd.weight", (512, 256), Q4)
        self.tensor("output_norm.weight", (256,), F32)

    def tensor(self, name: str, shape: tuple[int, ...], kind: Q = Q4) -> None:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        n = int(np.prod(shape))
        self.elements, self.bytes = self.elements + n, self.bytes + n // block * size
        if kind is F32:
            self.out.add_tensor(name, np.zeros(shape, np.float32))
        else:
            self.out.add_tensor(name, np.zeros((*shape[:-1], shape[-1] // block * size), np.uint8), raw_dtype=kind)

    def attention(self, i: int, *, kv: int = 128) -> None:
        for name, rows in (("attn_q", 256), ("attn_k", kv), ("attn_v", kv), ("attn_output", 256)):
            self.tensor(f"blk.{i}.{name}.weight", (rows, 256))

    def done(self) -> Path:
        self.out.write_header_to_file()
        self.out.write_kv_data_to_file()
        self.out.write_tensors_to_file()
        self.out.close()
        return self.path


def moe(path: Path, experts: int = 4) -> Writer:
    file = Writer(path, "llama", 2, attention__head_count_kv=2, expert_count=experts, expert_used_count=2)
    file.out.add_file_type(15)
    file.out.add_name("Tiny Mixtral")
    file.tensor("output.weight", (512, 256), Q6)
    for i in range(2):
        file.attention(i)
        file.tensor(f"blk.{i}.ffn_gate_inp.weight", (experts, 256), F32)
        for name, shape in (("gate", (512, 256)), ("up", (512, 256)), ("down", (256, 512))):
            file.tensor(f"blk.{i}.ffn_{name}_exps.weight", (experts, *shape), Q6 if name == "down" and i else Q4)
    return file


def cache(spec: ModelSpec, kind: CacheKind):
    (found,) = (c for c in spec.caches if c.kind is kind)
    return found


def test_a_mixture_has_exact_counts_bytes_and_types(tmp_path: Path) -> None:
    file = moe(tmp_path / "tiny.gguf")
    spec = load_model(file.done())
    assert (spec.name, spec.architecture, spec.num_layers, spec.vocab_size) == ("Tiny Mixtral", "mixtral", 2, 512)
    assert spec.context_length == 4096
    assert spec.params.total == file.elements
    assert spec.stored_bytes == file.bytes
    assert spec.params.total - spec.params.active == file_experts(spec) // 2
    assert spec.quantization_config == {"quant_method": "gguf", "file_type": "q4_k_m"}
    by_tensors = sum(ggml.BY_NAME[t.dtype or ""].n_bytes(t.parameters) for t in spec.tensors)
    assert by_tensors == file.bytes
    downs = {t.layers: t.dtype for t in spec.tensors if "down_exps" in t.name}
    assert downs == {(0,): "q4_k", (1,): "q6_k"}
    assert all(t.split is Split.ROW and t.role is Role.ROUTED_EXPERT for t in spec.tensors if "down_exps" in t.name)
    kept = cache(spec, CacheKind.FULL)
    assert (kept.layers, kept.num_kv_heads, kept.key_dim, kept.value_dim) == ((0, 1), 2, 64, 64)


def file_experts(spec: ModelSpec) -> int:
    return sum(t.parameters for t in spec.tensors if t.role is Role.ROUTED_EXPERT)


def test_experts_stored_one_by_one_count_alike(tmp_path: Path) -> None:
    file = Writer(tmp_path / "old.gguf", "llama", 1, attention__head_count_kv=2, expert_count=3, expert_used_count=1)
    file.attention(0)
    for expert in range(3):
        for name in ("gate", "up", "down"):
            file.tensor(f"blk.0.ffn_{name}.{expert}.weight", (256, 256))
    spec = load_model(file.done())
    assert (spec.experts.routed, spec.experts.per_token) == (3, 1)
    assert spec.params.by_role["routed_expert"] == 9 * 256 * 256
    head = next(t for t in spec.tensors if t.role is Role.LM_HEAD)
    assert head.tied_to == "token_embd.weight"


@pytest.mark.parametrize(
    ("architecture", "keys", "sliding"),
    [
        ("gpt-oss", {"attention__sliding_window": 128}, (0, 2, 4)),
        ("gemma3", {"attention__sliding_window": 512}, (0, 1, 2, 3, 4)),
        ("gemma2", {"attention__sliding_window": 4096}, (0, 2, 4)),
        ("gemma4", {"attention__sliding_window": 512, "attention__sliding_window_pattern": [True, False] * 3}, (0, 2, 4)),
        ("mimo2", {"attention__sliding_window": 128, "attention__sliding_window_pattern": [0, 1, 1, 1, 1, 0]}, (1, 2, 3, 4)),
        ("llama", {"attention__sliding_window": 4096}, ()),
    ],
)  # fmt: skip
def test_windows_are_those_llama_cpp_heeds(
    tmp_path: Path, architecture: str, keys: dict[str, object], sliding: tuple[int, ...]
) -> None:
    file = Writer(tmp_path / "w.gguf", architecture, 6, attention__head_count_kv=2, **keys)
    for i in range(6):
        file.attention(i)
    spec = load_model(file.done())
    found = [c for c in spec.caches if c.kind is CacheKind.SLIDING]
    assert sum((c.layers for c in found), ()) == sliding
    assert all(c.window_tokens == keys["attention__sliding_window"] for c in found)
    full = [i for c in spec.caches if c.kind is CacheKind.FULL for i in c.layers]
    assert sorted([*sliding, *full]) == list(range(6))


def test_the_latent_of_mla_and_the_draft_layer(tmp_path: Path) -> None:
    file = Writer(
        tmp_path / "mla.gguf", "deepseek2", 3, attention__head_count_kv=1, attention__key_length=576, attention__value_length=512,
        attention__key_length_mla=192, attention__value_length_mla=128, attention__kv_lora_rank=512, rope__dimension_count=64,
        nextn_predict_layers=1, expert_count=2, expert_used_count=1, expert_shared_count=1,
    )  # fmt: skip
    for i in range(3):
        file.tensor(f"blk.{i}.attn_kv_a_mqa.weight", (576, 256))
        file.tensor(f"blk.{i}.attn_k_b.weight", (4, 512, 256))
        file.tensor(f"blk.{i}.exp_probs_b.bias", (2,), F32)
        file.tensor(f"blk.{i}.ffn_up_shexp.weight", (512, 256))
    spec = load_model(file.done())
    latent = cache(spec, CacheKind.LATENT)
    assert (latent.layers, latent.num_kv_heads, latent.key_dim, latent.value_dim, latent.rope_dim) == (
        (0, 1),
        1,
        576,
        0,
        64,
    )
    assert (spec.attentions[0].qk_head_dim, spec.attentions[0].v_head_dim) == (192, 128)
    assert spec.num_layers == 2
    assert spec.params.stored_not_loaded == (576 + 4 * 512 + 512) * 256
    assert spec.params.total + spec.params.stored_not_loaded == file.elements - 3 * 2
    assert spec.stored_bytes == file.bytes
    assert spec.shared_experts == 1


def test_layers_without_attention_and_layers_that_share_keep_nothing(tmp_path: Path) -> None:
    file = Writer(tmp_path / "d.gguf", "deci", 4, attention__head_count_kv=[2, 0, 1, 2], attention__shared_kv_layers=1)
    for i in (0, 2, 3):
        file.attention(i, kv=64 if i == 2 else 128)
    spec = load_model(file.done())
    assert {(c.layers, c.num_kv_heads) for c in spec.caches} == {((0,), 2), ((2,), 1)}


@pytest.mark.parametrize(
    ("architecture", "keys", "tensors", "mixer", "shapes"),
    [
        ("mamba", {"ssm__group_count": 0}, ("ssm_in",), "mamba1", [(512, 3), (512, 16)]),
        ("mamba2", {"ssm__group_count": 2}, ("ssm_in",), "mamba2", [(512 + 64, 3), (512, 16)]),
        ("qwen3next", {"ssm__group_count": 2}, ("ssm_ba", "attn_qkv"), "gdn", [(512 + 64, 3), (512, 16)]),
    ],
)
def test_states_of_recurrent_layers(
    tmp_path: Path,
    architecture: str,
    keys: dict[str, object],
    tensors: tuple[str, ...],
    mixer: str,
    shapes: list[tuple[int, ...]],
) -> None:
    dims = {"ssm__conv_kernel": 4, "ssm__inner_size": 512, "ssm__state_size": 16, "ssm__time_step_rank": 8}
    file = Writer(tmp_path / "s.gguf", architecture, 2, attention__head_count_kv=2, **dims, **keys)
    for name in tensors:
        file.tensor(f"blk.0.{name}.weight", (256, 256))
    file.attention(1)
    spec = load_model(file.done())
    states = cache(spec, CacheKind.STATE)
    assert (states.layers, states.mixer) == ((0,), mixer)
    assert [s.shape for s in states.states] == shapes
    assert {s.dtype for s in states.states} == {"float32"}
    assert cache(spec, CacheKind.FULL).layers == (1,)


def test_a_split_set_is_read_from_any_of_its_parts(tmp_path: Path) -> None:
    whole = load_model(moe(tmp_path / "whole.gguf").done())
    parts = [tmp_path / f"m-Q4-{i:05}-of-00002.gguf" for i in (1, 2)]
    first, second = gguf.GGUFWriter(parts[0], "llama"), gguf.GGUFWriter(parts[1], "llama")
    reader = gguf.GGUFReader(tmp_path / "whole.gguf")
    for field in (
        "block_count",
        "embedding_length",
        "context_length",
        "attention.head_count",
        "attention.head_count_kv",
        "expert_used_count",
    ):
        first.add_uint32(f"llama.{field}", int(reader.fields[f"llama.{field}"].parts[-1][0]))
    first.add_int32("split.tensors.count", len(reader.tensors))
    for i, tensor in enumerate(reader.tensors):
        (first, second)[i % 2].add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    for out in (first, second):
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
    for part in (*parts, tmp_path / "only"):
        if part.name == "only":
            part.mkdir()
            for one in parts:
                (part / one.name).write_bytes(one.read_bytes())
            (part / "mmproj-f16.gguf").write_bytes(b"GGUF")
        spec = load_model(part)
        assert spec.stored_bytes == whole.stored_bytes
        assert spec.params == whole.params
    parts[0].unlink()
    with pytest.raises(InputError, match=r"m-Q4-00001-of-00002\.gguf is missing: .* one of 2 parts"):
        load_model(parts[1])


def test_a_folder_of_several_models_asks_for_one(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"several models \(a\.gguf, b\.gguf\); name one"):
        load_model(tmp_path)


def test_a_projector_is_no_language_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no language model"):
        load_model(Writer(tmp_path / "mmproj.gguf", "clip", 1).done())


def test_block_sizes_are_those_of_llama_cpps_package() -> None:
    theirs = {int(kind): sizes for kind, sizes in gguf.GGML_QUANT_SIZES.items() if kind.name not in ("Q8_1", "Q8_K")}
    assert {number: (kind.block, kind.block_bytes) for number, kind in ggml.TYPES.items()} == theirs
    names = {k.value: k.name.removeprefix("MOSTLY_").removeprefix("ALL_").lower() for k in gguf.LlamaFileType}
    assert {number: names[number] for number in ggml.FILE_TYPES} == ggml.FILE_TYPES


def test_our_reader_finds_what_llama_cpps_finds(tmp_path: Path) -> None:
    path = moe(tmp_path / "tiny.gguf").done()
    theirs = {t.name: (tuple(int(d) for d in reversed(t.shape)), int(t.n_bytes)) for t in gguf.GGUFReader(path).tensors}
    header = read_file(path)
    assert {t.name: (t.shape, t.n_bytes) for t in header.tensors} == theirs
    assert header.metadata["llama.expert_count"] == 4
    assert header.lengths["tokenizer.ggml.tokens"] == 300
    assert header.metadata["tokenizer.ggml.tokens"] is None


def test_the_other_byte_order_is_read(tmp_path: Path) -> None:
    text = b"general.architecture"
    body = b"GGUF" + struct.pack(">IQQ", 3, 0, 1) + struct.pack(">Q", len(text)) + text
    (tmp_path / "big.gguf").write_bytes(body + struct.pack(">IQ", 8, 5) + b"llama")
    assert read_file(tmp_path / "big.gguf").metadata == {"general.architecture": "llama"}


def header(n_tensors: int, n_keys: int, *rest: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys) + b"".join(rest)


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def key(name: bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def info(name: bytes, dims: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut off"),
        (b"GGML" + bytes(20), "is no GGUF file"),
        (b"GGUF", "cut off"),
        (header(0, 0, version=9), "GGUF version 9"),
        (header(2**60, 0), "tensors and 0 keys"),
        (header(0, 2**60), "keys"),
        (header(0, 1), "cut off"),
        (header(0, 1, text(b"x", 2**62)), "cut off"),
        (header(0, 1, text(b"x" * 70000), bytes(100)), "a name of 70000 bytes"),
        (header(0, 1, key(b"a", 99, b"")), "unknown type 99"),
        (header(0, 1, key(b"a", 8, text(b"x", 2**50))), "cut off"),
        (header(0, 1, key(b"a", 9, struct.pack("<IQ", 4, 2**61))), "cut off"),
        (header(0, 1, key(b"a", 9, struct.pack("<IQ", 8, 2**61))), "a list of 2305843009213693952 strings"),
        (header(0, 1, key(b"a", 9, struct.pack("<IQ", 8, 4_000_000))), "cut off"),
        (header(0, 1, key(b"a", 9, struct.pack("<IQ", 8, 2) + text(b"x", 2**29))), "cut off"),
        (header(0, 1, key(b"a", 9, struct.pack("<IQ", 9, 1) * 50)), "a list of the type 9"),
        (header(0, 2, key(b"a", 4, bytes(4)), key(b"a", 4, bytes(4))), "'a' stands there twice"),
        (header(1, 0, info(b"t", (4,) * 5)), "has 5 dimensions"),
        (header(1, 0, info(b"t", (2**63, 4))), "cannot have the dimensions"),
        (header(1, 0, info(b"t", (0,))), "cannot have the dimensions"),
        (header(1, 0, info(b"t", (100,), 12)), "cannot have the dimensions [100] in q4_k"),
        (header(1, 0, info(b"t", (4,), 77)), "unknown type 77"),
        (header(1, 0, info(b"t", (2**39, 2**39)), bytes(64)), "is cut off: its tensors end"),
        (header(1, 0, info(b"t", (4,), offset=10**9)), "leaves a gap"),
        (header(2, 0, info(b"t", (4,)), info(b"u", (4,), offset=8), bytes(99)), "overlaps"),
        (header(2, 0, info(b"t", (4,)), info(b"t", (4,), offset=32), bytes(99)), "'t' stands there twice"),
        (header(1, 1, key(b"general.alignment", 4, bytes(4)), info(b"t", (4,)), bytes(99)), "an alignment of 0"),
        (header(0, 0), "general.architecture is missing"),
        (header(0, 1, key(b"general.architecture", 8, text(b"llama"))), "holds no language model"),
        (header(1, 1, key(b"general.architecture", 8, text(b"llama")), info(b"token_embd.weight", (4, 4)), bytes(199)), "block_count is missing"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    with pytest.raises(MoesizeError) as caught:
        load_model(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_anywhere_is_never_read_as_whole(tmp_path: Path) -> None:
    data = moe(tmp_path / "tiny.gguf").done().read_bytes()
    start = len(data) - load_model(tmp_path / "tiny.gguf").stored_bytes
    for length in [*range(0, start, 97), start + 10, len(data) - 40]:
        (tmp_path / "cut.gguf").write_bytes(data[:length])
        with pytest.raises(MoesizeError):
            load_model(tmp_path / "cut.gguf")
