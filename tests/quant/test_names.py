import pytest

from moesize.errors import InputError, UnknownNameError
from moesize.model.spec import Kind, ModelSpec, Role, Tensor
from moesize.quant.names import list_quants, resolve_quant
from moesize.quant.scheme import arrays_of
from moesize.quant.sizes import bits_per_weight, checkpoint_bytes, typical_bits


def spec_of(*tensors, dtype="bfloat16", config=None):
    return ModelSpec(
        name="small", source="test", architecture="llama", num_layers=2, hidden_size=512, vocab_size=1024,
        context_length=None, dtype=dtype, tensors=tensors, quantization_config=config,
    )  # fmt: skip


LAYERS = (0, 1)
EMBEDDING = Tensor("model.embed_tokens.weight", (1024, 512), Role.EMBEDDING, Kind.EMBEDDING)
HEAD = Tensor("lm_head.weight", (1024, 512), Role.LM_HEAD)
Q_PROJ = Tensor("model.layers.{layer}.self_attn.q_proj.weight", (512, 512), Role.ATTENTION, layers=LAYERS)
NORM = Tensor("model.layers.{layer}.input_layernorm.weight", (512,), Role.NORM, Kind.VECTOR, LAYERS)
ROUTER = Tensor("model.layers.{layer}.mlp.gate.weight", (8, 512), Role.ROUTER, layers=LAYERS)
EXPERTS = Tensor(
    "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight", (256, 512), Role.ROUTED_EXPERT, layers=LAYERS,
    experts=8, active_experts=2,
)  # fmt: skip
STACKED = Tensor(
    "model.layers.{layer}.mlp.experts.gate_up_proj", (512, 512), Role.ROUTED_EXPERT, layers=LAYERS,
    experts=8, active_experts=2, transposed=True,
)  # fmt: skip
SMALL = spec_of(EMBEDDING, HEAD, Q_PROJ, NORM, ROUTER, EXPERTS)


@pytest.mark.parametrize(
    ("written", "name", "method"),
    [
        ("gptq", "gptq-4bit", "gptq"),
        ("GPTQ-Int4", "gptq-4bit", "gptq"),
        ("gptq-4bit-g128", "gptq-4bit", "gptq"),
        ("gptq_4bit_g32", "gptq-4bit-g32", "gptq"),
        ("gptq-4bit-g-1", "gptq-4bit-g-1", "gptq"),
        ("gptq-4bit-64g-actorder_True", "gptq-4bit-g64", "gptq"),
        ("gptq-3bit", "gptq-3bit", "gptq"),
        ("AWQ", "awq-4bit", "awq"),
        ("awq-g64", "awq-4bit-g64", "awq"),
        ("int4", "w4a16", "compressed-tensors"),
        ("W4A16-asym-g32", "w4a16-asym-g32", "compressed-tensors"),
        ("int8", "int8", "compressed-tensors"),
        ("nf4", "bnb-nf4", "bitsandbytes"),
        ("qlora", "bnb-nf4-dq", "bitsandbytes"),
        ("llm.int8", "bnb-int8", "bitsandbytes"),
        ("FP8", "fp8", "fp8"),
        ("fp8_dynamic", "fp8-channel", "compressed-tensors"),
        ("FP8-block", "fp8-block", "fp8"),
        ("nvfp4", "nvfp4", "modelopt"),
        ("hqq-2bit-g32", "hqq-2bit-g32", "hqq"),
        ("aqlm-2bit", "aqlm-1x16", "aqlm"),
        ("exl3-3.5bpw", "exl3-3.5bpw", "exl3"),
        ("EXL2_4.65bpw", "exl2-4.65bpw", "exl2"),
        ("Q4_K_M", "q4_k_m", "gguf"),
        ("q4-k", "q4_k_m", "gguf"),
        ("i1-IQ4_XS", "iq4_xs-imatrix", "gguf"),
        ("bf16", "bf16", "none"),
    ],
)
def test_names_as_people_write_them(written, name, method):
    scheme = resolve_quant(written, SMALL)
    assert (scheme.name, scheme.method) == (name, method)


@pytest.mark.parametrize("info", list_quants(), ids=lambda info: info.name)
def test_the_list_states_what_the_formats_weigh(info):
    scheme = resolve_quant(info.name, SMALL)
    assert scheme.name == info.name
    assert typical_bits(scheme) == pytest.approx(info.bits, abs=0.0015)
    assert info.source.startswith("https://")
    for alias in info.aliases:
        resolve_quant(alias, SMALL)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gptq-5bit", "no 5-bit weights"),
        ("gptq-4bit-g0", "group size 0"),
        ("awq-3bit", "no 3-bit"),
        ("exl3-9bpw", "9 bits per weight"),
        ("UD-Q4_K_XL", "dynamic mix"),
    ],
)
def test_impossible_ones_are_named(written, said):
    with pytest.raises(InputError, match=said):
        resolve_quant(written, SMALL)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UnknownNameError) as error:
        resolve_quant("gtpq-4bit", SMALL)
    assert "gptq-4bit" in error.value.near
    with pytest.raises(UnknownNameError, match="q4_k_m"):
        resolve_quant("q4_k_mm", SMALL)


def stored(spec, name):
    scheme = resolve_quant(name, spec)
    return {tensor.name: [fmt for _, fmt in scheme.parts(tensor)] for tensor in spec.tensors}


@pytest.mark.parametrize(
    "name", ["gptq-4bit", "awq-4bit", "fp8", "fp8-block", "int8", "w4a16", "nvfp4", "bnb-nf4", "hqq"]
)
def test_the_default_rule_takes_matrices_and_leaves_the_rest(name):
    formats = stored(SMALL, name)
    for left in (EMBEDDING, HEAD, NORM, ROUTER):
        assert formats[left.name] == [None]
    assert formats[Q_PROJ.name] != [None]
    assert formats[EXPERTS.name] != [None]


def test_gptq_by_hand():
    # 4 bits, group 128 of 512 inputs: qweight 64 x out int32, zeros 4 x out/8 int32, scales 4 x out fp16, 512 indices.
    def matrix(out):
        return 64 * out * 4 + 4 * out // 8 * 4 + 4 * out * 2 + 512 * 4

    left = 2 * (2 * 1024 * 512 + 2 * (512 + 8 * 512))
    assert checkpoint_bytes(SMALL, resolve_quant("gptq-4bit", SMALL)) == left + 2 * (matrix(512) + 8 * matrix(256))


def test_mxfp4_is_for_routed_experts():
    formats = stored(spec_of(Q_PROJ, EXPERTS, STACKED), "mxfp4")
    assert formats[Q_PROJ.name] == [None]
    assert formats[EXPERTS.name][0].name == "mxfp4"
    (fmt,) = formats[STACKED.name]
    assert [a.suffix for a in arrays_of(STACKED, fmt)] == ["_blocks", "_scales"]


def test_bitsandbytes_leaves_stacked_experts():
    spec = spec_of(Q_PROJ, EXPERTS, STACKED)
    formats = stored(spec, "nf4")
    assert formats[EXPERTS.name] != [None]
    assert formats[STACKED.name] == [None]
    assert "3-D" in resolve_quant("nf4", spec).notes[0]


def test_exllama_quantises_a_tied_head_apart():
    tied = Tensor("lm_head.weight", (1024, 512), Role.LM_HEAD, tied_to=EMBEDDING.name)
    spec = spec_of(EMBEDDING, tied)
    assert checkpoint_bytes(spec, resolve_quant("exl2-4bpw", spec)) == 1024 * 512 * 2 + 1024 * 512 * 6 // 8
    assert checkpoint_bytes(spec, resolve_quant("gptq", spec)) == 1024 * 512 * 2


def test_float32_tensors_keep_their_dtype_and_wide_models_are_left_in_16_bits():
    kept = Tensor("a.weight", (512, 512), Role.ATTENTION, dtype="float32")
    assert checkpoint_bytes(spec_of(kept), resolve_quant("awq", spec_of(kept))) == 512 * 512 * 4
    wide = spec_of(EMBEDDING, dtype="float32")
    assert checkpoint_bytes(wide, resolve_quant("gptq", wide)) == 1024 * 512 * 2
    assert checkpoint_bytes(wide, resolve_quant("none", wide)) == 1024 * 512 * 4


def test_a_shape_that_cannot_be_stored_names_the_tensor():
    odd = spec_of(Tensor("model.odd.weight", (2880, 2880), Role.MLP))
    with pytest.raises(InputError, match=r"model.odd.weight cannot be stored as awq-4bit: .* not 2880"):
        checkpoint_bytes(odd, resolve_quant("awq", odd))


def test_a_method_a_checkpoint_already_has_is_the_checkpoints_own():
    config = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    spec = spec_of(Q_PROJ, config=config)
    assert resolve_quant("fp8", spec).name == "fp8-block"
    assert resolve_quant("fp8", spec).from_checkpoint
    assert resolve_quant("fp8-channel", spec).name == "fp8-channel"
    assert resolve_quant("bf16", spec).name == "bf16"


def test_bits_per_weight_counts_what_is_left():
    spec = spec_of(EMBEDDING, Q_PROJ)
    assert bits_per_weight(spec, resolve_quant("bf16", spec)) == 16
    mixed = bits_per_weight(spec, resolve_quant("fp8", spec))
    assert mixed == pytest.approx((16 * 1024 * 512 + 8 * 2 * 512 * 512) / (1024 * 512 + 2 * 512 * 512), rel=1e-4)
