import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesize.errors import InputError
from moesize.quant.codebooks import Aqlm, Bnb4Bit, BnbInt8, Exl2, Exl3
from moesize.quant.floats import Fp8Block, Fp8Channel, Fp8Tensor, MxFp4, MxFp8, NvFp4
from moesize.quant.formats import Plain
from moesize.quant.gguf_types import Ggml
from moesize.quant.integers import Awq, Gptq, GroupedInt, Hqq, Int8, PackedInt

_spec = importlib.util.spec_from_file_location("moesize_quant_writers", Path(__file__).with_name("writers.py"))
w = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(w)

ALL = [
    Plain("float32"), Plain("bfloat16"), Fp8Tensor(), Fp8Tensor(static_inputs=True), Fp8Channel(), Fp8Block(),
    Fp8Block((64, 256)), MxFp8(), MxFp4(), MxFp4(blocks=True), MxFp4(weight_bits=6), NvFp4(), NvFp4(modelopt=True),
    NvFp4(static_inputs=False), Gptq(), Gptq(2), Gptq(3), Gptq(8, 64), Gptq(4, -1), Gptq(4, 128, zero_bias=True), Awq(),
    Awq(8, 64), PackedInt(), PackedInt(3), PackedInt(4, 32, symmetric=False), PackedInt(8, -1), PackedInt(group_index=True),
    Int8(), Int8(per_tensor=True), Int8(group=128), GroupedInt(), GroupedInt(2, 64), Hqq(), Hqq(3), Hqq(2, 64, axis=0),
    Bnb4Bit(), Bnb4Bit("fp4", nested=True, block=128), BnbInt8(), Aqlm(), Aqlm(2, 8), Exl2(4.65), Exl3(3), Exl3(3.5),
    *(Ggml(t) for t in ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0", "iq4_xs", "mxfp4", "float16")),
]  # fmt: skip


@pytest.mark.parametrize("fmt", ALL, ids=repr)
@given(rows=st.integers(1, 64), columns=st.integers(1, 64))
@settings(max_examples=25, deadline=None)
def test_bytes_are_the_sum_of_the_arrays(fmt, rows, columns):
    out_features, in_features = 256 * rows, 256 * columns
    fmt.check(out_features, in_features)
    arrays = fmt.arrays(out_features, in_features)
    assert fmt.nbytes(out_features, in_features) == sum(array.nbytes for array in arrays)
    assert len({array.suffix for array in arrays}) == len(arrays)
    # Whatever else is stored, every weight has its bits, and scales never double them.
    assert fmt.nbytes(out_features, in_features) * 8 / (out_features * in_features) / fmt.bits >= 1
    big = 8 * fmt.nbytes(8192, 8192) / 8192**2
    assert fmt.bits <= big < 1.35 * fmt.bits + 0.2


def same(fmt, written):
    some = next(iter(written.values()))
    assert some is not None
    return {a.suffix: (a.shape, a.dtype) for a in fmt} == {
        suffix: (tuple(array.shape), str(array.dtype).removeprefix("torch.")) for suffix, array in written.items()
    }


@given(
    out=st.integers(1, 6),
    inner=st.integers(1, 6),
    bits=st.sampled_from([2, 3, 4, 8]),
    group=st.sampled_from([-1, 32, 64, 128]),
)
@settings(max_examples=60, deadline=None)
def test_gptq_is_what_its_writers_pack(out, inner, bits, group):
    m = w.matrix(32 * out, 32 * inner)
    assert same(Gptq(bits, group).arrays(*m.shape), w.gptq(m, bits, group))


@given(out=st.integers(1, 20), inner=st.integers(1, 6), group=st.sampled_from([32, 64, 128]))
@settings(max_examples=40, deadline=None)
def test_awq_is_what_its_writer_packs(out, inner, group):
    m = w.matrix(8 * out, group * inner)
    assert same(Awq(4, group).arrays(*m.shape), w.awq(m, group))


@given(
    out=st.integers(1, 300),
    inner=st.integers(1, 300),
    rows=st.sampled_from([64, 128]),
    columns=st.sampled_from([64, 128]),
)
@settings(max_examples=60, deadline=None)
def test_fp8_blocks_cover_the_edges(out, inner, rows, columns):
    m = w.matrix(out, inner)
    assert same(Fp8Block((rows, columns)).arrays(*m.shape), w.fp8_block(m, rows, columns))


@given(out=st.integers(1, 40), inner=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_mxfp4_and_nvfp4_pack_two_to_a_byte(out, inner):
    m = w.matrix(out, 32 * inner)
    assert same(MxFp4(blocks=True).arrays(*m.shape), w.mxfp4_blocks(m))
    written = w.nvfp4_modelopt(m)
    arrays = NvFp4(modelopt=True).arrays(*m.shape)
    assert {a.suffix: a.nbytes for a in arrays} == {suffix: array.nbytes for suffix, array in written.items()}


@given(out=st.integers(1, 64), inner=st.integers(1, 64), block=st.sampled_from([64, 128, 4096]), nested=st.booleans())
@settings(max_examples=60, deadline=None)
def test_bitsandbytes_stores_blocks_of_the_flattened_matrix(out, inner, block, nested):
    m = w.matrix(out, inner)
    written = w.bnb_4bit(m, block, nested=nested)
    arrays = Bnb4Bit(nested=nested, block=block).arrays(out, inner)
    assert [a.suffix for a in arrays] == list(written)
    for array, (suffix, stored) in zip(arrays, written.items(), strict=True):
        # How many digits an offset prints is the data's; two more or less are all it can be.
        slack = 2 if nested and "quant_state" in suffix else 0
        assert abs(array.nbytes - stored.nbytes) <= slack, suffix


def test_bitsandbytes_own_state_dict():
    # Sizes bitsandbytes 0.50.2 wrote for Linear4bit(256, 192) and Linear8bitLt(256, 192) on a CPU.
    assert [a.nbytes for a in Bnb4Bit().arrays(192, 256)] == [24576, 768 * 4, 16 * 4, 80]
    nested = [a.nbytes for a in Bnb4Bit(nested=True).arrays(192, 256)]
    assert nested[:-1] == [24576, 768, 16 * 4, 3 * 4, 256 * 4]
    assert abs(nested[-1] - 169) <= 2
    assert [a.nbytes for a in BnbInt8().arrays(192, 256)] == [192 * 256, 192 * 4, 1]


@given(out=st.integers(1, 20), inner=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_int8_rows(out, inner):
    assert same(BnbInt8().arrays(out, inner), w.bnb_int8(w.matrix(out, inner)))


@given(
    out=st.integers(1, 12), inner=st.integers(1, 12), bits=st.sampled_from([1, 2, 3, 4, 8]),
    group=st.sampled_from([16, 64]), axis=st.sampled_from([0, 1]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_hqq_regroups_the_matrix(out, inner, bits, group, axis):
    m = w.matrix(8 * out, group * inner)
    assert same(Hqq(bits, group, axis).arrays(*m.shape), w.hqq(m, bits, group, axis))


@given(
    out=st.integers(1, 40),
    inner=st.integers(1, 20),
    kind=st.sampled_from([(1, 16, 8), (2, 8, 8), (1, 16, 16), (1, 12, 8)]),
)
@settings(max_examples=40, deadline=None)
def test_aqlm_codes_and_books(out, inner, kind):
    m = w.matrix(out, 16 * inner)
    assert same(Aqlm(*kind).arrays(*m.shape), w.aqlm(m, *kind))


@given(out=st.integers(1, 8), inner=st.integers(1, 8), bits=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_exl3_tiles(out, inner, bits):
    m = w.matrix(16 * out, 16 * inner)
    assert same(Exl3(bits).arrays(*m.shape), w.exl3(m, bits))


@given(bits=st.floats(1, 8), out=st.integers(1, 64), inner=st.integers(1, 64))
@settings(deadline=None)
def test_a_mean_width_weighs_what_it_says(bits, out, inner):
    weights = 256 * out * 256 * inner
    stored = Exl3(bits).arrays(256 * out, 256 * inner)[0].nbytes
    assert stored == pytest.approx(weights * bits / 8, rel=1e-3)


@pytest.mark.parametrize(
    ("fmt", "shape", "said"),
    [
        (Gptq(5), (128, 128), "no 5-bit weights"),
        (Gptq(4, 0), (128, 128), "group size 0"),
        (Gptq(4), (128, 100), "8 divides"),
        (Gptq(3), (100, 128), "32 divides"),
        (Awq(4, 128), (64, 2880), "128 divides, not 2880"),
        (Awq(3), (64, 128), "no 3-bit"),
        (PackedInt(4, 128), (64, 2880), "not 2880"),
        (PackedInt(9), (64, 128), "no 9-bit"),
        (MxFp4(), (64, 40), "32 divides"),
        (MxFp8(), (64, 40), "32 divides"),
        (NvFp4(), (64, 40), "16 divides"),
        (Hqq(4, 64), (3, 5), "64 divides"),
        (Hqq(7), (64, 64), "no 7-bit"),
        (Bnb4Bit(block=48), (64, 64), "block size 48"),
        (Aqlm(1, 20), (64, 64), "20 bits"),
        (Aqlm(1, 16, 7), (64, 64), "7 divides"),
        (Exl2(9.0), (64, 64), "9 bits per weight"),
        (Exl3(0.5), (64, 64), "0.5 bits per weight"),
        (Exl3(4), (64, 40), "16 divides"),
        (GroupedInt(4, 128), (64, 64), "128 divides"),
        (Int8(group=128), (64, 64), "128 divides"),
        (Ggml("q4_k"), (64, 64), "256 divides"),
        (Ggml("q9_k"), (64, 64), "no type q9_k"),
    ],
)
def test_impossible_shapes_are_refused(fmt, shape, said):
    with pytest.raises(InputError, match=said):
        fmt.check(*shape)
