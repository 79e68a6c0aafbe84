"""Checkpoints' own `quantization_config`: every method, what is left alone, and what cannot be right."""

import time
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesize.errors import InputError, MoesizeError, UnknownNameError
from moesize.model.loader import load_model
from moesize.model.spec import Kind, ModelSpec, Role, Tensor
from moesize.quant.checkpoint import READERS, stored_scheme
from moesize.quant.matching import ModuleSet
from moesize.quant.sizes import checkpoint_bytes

LAYERS = tuple(range(12))
P = "model.layers.{layer}"
Q_PROJ = Tensor(f"{P}.self_attn.q_proj.weight", (512, 512), Role.ATTENTION, layers=LAYERS)
UP = Tensor(f"{P}.mlp.up_proj.weight", (512, 512), Role.MLP, layers=LAYERS)
EXPERT = Tensor(
    f"{P}.mlp.experts.{{expert}}.up_proj.weight",
    (256, 512),
    Role.ROUTED_EXPERT,
    layers=LAYERS,
    experts=4,
    active_experts=2,
)
STACKED = Tensor(
    f"{P}.mlp.experts.gate_up_proj", (512, 512), Role.ROUTED_EXPERT, layers=LAYERS, experts=4, active_experts=2
)
GATE = Tensor(f"{P}.mlp.gate.weight", (8, 512), Role.ROUTER, layers=LAYERS)
HEAD = Tensor("lm_head.weight", (1024, 512), Role.LM_HEAD)
NORM = Tensor("model.norm.weight", (512,), Role.NORM, Kind.VECTOR)
TOWER = Tensor("visual.blocks.{layer}.fc1.weight", (512, 512), Role.VISION, layers=LAYERS)
TENSORS = (Q_PROJ, UP, EXPERT, STACKED, GATE, HEAD, NORM, TOWER)


def spec(config, *tensors):
    return ModelSpec(
        name="small", source="test", architecture="llama", num_layers=12, hidden_size=512, vocab_size=1024,
        context_length=None, dtype="bfloat16", tensors=tensors or TENSORS, quantization_config=config,
    )  # fmt: skip


def quantised(config, *tensors):
    """Tensor -> the layers that get a format (None: it has no layers)."""
    found = spec(config, *tensors)
    scheme = stored_scheme(found)
    return {
        tensor.name.rsplit(".weight")[0].rsplit(".", 1)[-1]: part.layers
        for tensor in found.tensors
        for part, fmt in scheme.parts(tensor)
        if fmt
    }


@pytest.mark.parametrize(
    ("config", "name", "method"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}, "gptq-4bit", "gptq"),
        ({"quant_method": "gptq", "bits": 3, "group_size": -1}, "gptq-3bit-g-1", "gptq"),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, "awq-4bit-g64", "awq"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128}, "awq-4bit", "awq"),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 32}, "gptq-4bit-g32", "gptq"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8-block", "fp8"),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8", "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8-channel", "fbgemm_fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4", "mxfp4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-int8", "bitsandbytes"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bnb-nf4", "bitsandbytes"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
            "bnb-fp4-dq", "bitsandbytes",
        ),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 2, "group_size": 32}}}, "hqq-2bit-g32", "hqq"),
        ({"quant_method": "quanto", "weights": "int4"}, "quanto-int4", "quanto"),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, "torchao-int8", "torchao"),
        (
            {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}}},
            "torchao-int4-g64", "torchao",
        ),
        ({"quant_method": "eetq", "weights": "int8"}, "eetq", "eetq"),
        ({"quant_method": "aqlm", "num_codebooks": 2, "nbits_per_codebook": 8}, "aqlm-2x8", "aqlm"),
        ({"quant_method": "exl3", "bits": 3.5, "head_bits": 6}, "exl3-3.5bpw", "exl3"),
        ({"quant_method": "exl2", "bits": 4.65}, "exl2-4.65bpw", "exl2"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8-static", "modelopt"),
        ({"quant_algo": "NVFP4", "group_size": 16}, "nvfp4", "modelopt"),
        ({"quantization": {"quant_algo": "W4A16_NVFP4"}}, "nvfp4a16", "modelopt"),
        (
            {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32}}},
            "quark-mxfp4", "quark",
        ),
    ],
)  # fmt: skip
def test_every_method_is_read(config, name, method):
    scheme = stored_scheme(spec(config))
    assert (scheme.name, scheme.method, scheme.from_checkpoint) == (name, method, True)
    assert "norm" not in quantised(config)
    assert "gate" not in quantised(config)
    assert checkpoint_bytes(spec(config), scheme) < checkpoint_bytes(spec(None), stored_scheme(spec(None)))


def test_without_one_it_is_the_dtype():
    assert stored_scheme(spec(None)).name == "bf16"
    assert stored_scheme(replace(spec(None), dtype="float32")).name == "fp32"


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}


def test_modules_are_left_by_name_parent_or_suffix():
    left = ["model.layers.1", "model.layers.11.mlp.up_proj", "q_proj", "lm_head", "visual"]
    found = quantised({**FP8, "modules_to_not_convert": left})
    assert "q_proj" not in found
    assert found["up_proj"] == tuple(i for i in LAYERS if i != 1)  # the experts' up_proj comes last
    assert "fc1" not in found
    only_dense = quantised({**FP8, "modules_to_not_convert": left}, UP)
    assert only_dense["up_proj"] == tuple(i for i in LAYERS if i not in (1, 11))


def test_awq_goes_by_substrings():
    config = {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["attn"]}
    assert "q_proj" not in quantised(config)
    assert "up_proj" in quantised(config)


def test_gptqmodel_overrides_by_pattern():
    config = {
        "quant_method": "gptq", "bits": 4, "group_size": 128,
        "dynamic": {r"-:.*\.self_attn\..*": {}, r"+:.*layers\.3\..*": {"bits": 8, "group_size": 32}},
    }  # fmt: skip
    found = spec(config, Q_PROJ, UP)
    scheme = stored_scheme(found)
    assert [fmt for _, fmt in scheme.parts(Q_PROJ)] == [None]
    widths = {part.layers: (fmt.weight_bits, fmt.group) for part, fmt in scheme.parts(UP)}
    assert widths == {tuple(i for i in LAYERS if i != 3): (4, 128), (3,): (8, 32)}


def test_autogptq_adds_a_bias_to_every_matrix_and_gptqmodel_does_not():
    config = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    old, new = spec(config, UP), spec({**config, "meta": {"quantizer": ["gptqmodel:5.0.0"]}}, UP)
    assert checkpoint_bytes(old, stored_scheme(old)) - checkpoint_bytes(new, stored_scheme(new)) == 12 * 512 * 2


def test_modelopt_excludes_by_glob_and_lists_layers_by_name():
    config = {"quant_algo": "NVFP4", "exclude_modules": ["model.layers.1*", "*.self_attn.*", "visual"]}
    assert quantised(config, UP, Q_PROJ) == {"up_proj": tuple(i for i in LAYERS if i not in (1, 10, 11))}
    mixed = {
        "quant_algo": "MIXED_PRECISION", "exclude_modules": ["model.layers.5*"],
        "quantized_layers": {
            "model.layers.2.mlp": {"quant_algo": "NVFP4", "group_size": 16},
            "model.layers.5.mlp": {"quant_algo": "FP8"},
            "model.layers.7.mlp.up_proj": {"quant_algo": "FP8"},
            "lm_head": {"quant_algo": "FP8"},
        },
    }  # fmt: skip
    scheme = stored_scheme(spec(mixed, UP, HEAD))
    assert {part.layers: fmt.name for part, fmt in scheme.parts(UP) if fmt} == {(2,): "nvfp4", (7,): "fp8 per tensor"}
    assert [fmt.name for _, fmt in scheme.parts(HEAD)] == ["fp8 per tensor"]


def test_the_kv_cache_a_checkpoint_asks_for():
    assert stored_scheme(spec({"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"})).kv_format == "fp8"
    assert stored_scheme(spec({"quant_algo": "FP8", "kv_cache_scheme": {"num_bits": 8}})).kv_format == "fp8"
    assert stored_scheme(spec({"quant_algo": "FP8"})).kv_format is None


def test_experts_of_one_layer_must_be_stored_alike():
    config = {**FP8, "modules_to_not_convert": ["model.layers.0.mlp.experts.0.up_proj"]}
    with pytest.raises(InputError, match=r"experts of model\.layers\.0\.mlp\.experts"):
        checkpoint_bytes(spec(config), stored_scheme(spec(config)))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"bits": 4}, "quant_method is missing"),
        ({"quant_method": "gptq"}, "bits is missing"),
        ({"quant_method": "gptq", "bits": "four"}, "bits is 'four'"),
        ({"quant_method": "gptq", "bits": 5}, "no 5-bit weights"),
        ({"quant_method": "awq", "bits": 4, "group_size": 100}, "100 divides, not 512"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "rows and columns"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf3"}, "nf3"),
        ({"quant_method": "quanto", "weights": "int3"}, "int3"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 32}, "groups of 16, not 32"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "quantized_layers is missing"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": 3}}, "holds no settings"),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, "no group with weights"),
        ({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 5, "type": "float"}}}}, "no known format"),
        ({"quant_method": "hqq", "quant_config": {"self_attn": {}}}, "by layer type"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["model", "visual", "lm_head"]}, "fits none of the model's matrices"),
        ({"quant_method": "fp8", "modules_to_not_convert": "lm_head"}, "expected a list of strings"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:(a+)+$"]}, "repeats too much"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:[a-"]}, "not a regular expression"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:" + "a" * 600]}, "longer than 512"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"a": 3}}, "holds no settings"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_one_sentence(config, said):
    found = spec(config)
    with pytest.raises(InputError, match=said) as error:
        sum(stored_scheme(found).tensor_bytes(tensor) for tensor in found.tensors)
    assert "\n" not in str(error.value)


def test_unknown_methods_and_algorithms_get_the_nearest():
    with pytest.raises(UnknownNameError, match="gptq"):
        stored_scheme(spec({"quant_method": "gptqq", "bits": 4}))
    with pytest.raises(UnknownNameError, match="nvfp4"):
        stored_scheme(spec({"quant_method": "modelopt", "quant_algo": "NVFP5"}))


@pytest.mark.parametrize(
    "pattern", [".*[a-z]" * 6 + "x", ".*a" * 9 + "b", "(a+)+$", "[a-z.]?" * 30 + "X", "(m|mo|.)(o|d|.)" * 12 + "X"]
)
def test_hostile_patterns_do_not_hang(pattern):
    names = [f"model.layers.{i}.mlp.experts.100.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_proj" for i in range(12)]
    tensors = [Tensor(f"{name}.weight", (512, 512), Role.MLP) for name in names]
    config = {**FP8, "modules_to_not_convert": [f"re:{pattern}"] * 100}
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"too long|too much"):
        checkpoint_bytes(spec(config, *tensors), stored_scheme(spec(config, *tensors)))
    assert time.perf_counter() - start < 10


@given(
    name=st.from_regex(r"[a-z]{1,3}(\.[a-z0-9]{1,3}){0,5}", fullmatch=True),
    entries=st.lists(st.from_regex(r"[a-z]{1,3}(\.[a-z0-9]{1,3}){0,2}", fullmatch=True)),
)
@settings(deadline=None)
def test_module_sets_match_whole_parts(name, entries):
    expected = any(name == e or name.startswith(e + ".") or name.endswith("." + e) for e in entries)
    assert (name in ModuleSet(entries)) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | st.text(max_size=12)
    | st.sampled_from(["fp8", "int", "float", "group", "channel", "Linear", "re:.*q_proj", "NVFP4", "FP8", "int4", "lm_head"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6,
)  # fmt: skip
KEYS = [
    "bits", "group_size", "desc_act", "modules_to_not_convert", "weight_block_size", "activation_scheme", "config_groups",
    "ignore", "format", "quant_algo", "quantized_layers", "exclude_modules", "load_in_4bit", "weights", "quant_type",
    "quant_config", "global_quant_config", "num_codebooks", "dynamic", "kv_cache_scheme", "w_bit", "expert_dtype", "fmt",
]  # fmt: skip


@given(method=st.sampled_from(sorted(READERS)), rest=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_configuration_is_answered_or_refused(method, rest):
    found = spec({"quant_method": method, **rest})
    with suppress(MoesizeError):
        assert checkpoint_bytes(found, stored_scheme(found)) > 0


def test_a_known_checkpoint_costs_a_fraction_of_a_millisecond():
    found = load_model("qwen3-235b-a22b-fp8", offline=True)
    checkpoint_bytes(found, stored_scheme(found))
    start = time.perf_counter()
    for _ in range(20):
        checkpoint_bytes(found, stored_scheme(found))
    assert (time.perf_counter() - start) / 20 < 1e-3
