"""What is special in the MoE families of this group; names, shapes and totals of every model are in the catalogue's own tests."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import sys
from collections import Counter
from math import prod
from pathlib import Path

import pytest
import torch

from moesize.data import data_dir
from moesize.errors import InputError, MoesizeError
from moesize.memory.layout import Layout, stages
from moesize.memory.sharding import rank_tensors
from moesize.model.architectures import build
from moesize.model.fields import Fields
from moesize.model.loader import load_model
from moesize.model.spec import CacheKind, Role
from moesize.model.spec_file import merged_config, read_document


def _oracle():
    """The module above this directory: with importlib mode it is on no path."""
    spec = importlib.util.spec_from_file_location("moesize_moe_a_oracle", Path(__file__).parents[1] / "oracle.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


oracle = _oracle()

#: One model of every family.
MODELS = (
    "trinity-mini", "snowflake-arctic", "ling-mini-2.0", "dbrx", "dots.llm1", "ernie-4.5-21b-a3b", "ernie-4.5-vl-28b-a3b", "glm-4.5v",
    "k-exaone-236b-a23b", "flexolmo-7x7b-1t", "gemma-4-26b-a4b", "gemma-4-e2b", "glm-4.5-air", "glm-4.7-flash",
    "granite-3.1-1b-a400m", "hunyuan-a13b", "hunyuan-large", "hy3", "jetmoe-8b", "laguna-xs.2", "llama-4-scout",
    "longcat-flash", "mimo-v2-flash", "minimax-m2", "minimax-m3", "mistral-small-4-119b", "olmoe-1b-7b", "phi-3.5-moe",
    "qwen2-vl-7b", "qwen2.5-vl-7b", "qwen3-vl-30b-a3b", "solar-open-100b", "step-3.5-flash", "step-3.7-flash",
)  # fmt: skip

#: Bytes per token of transformers 5.23's caches in bfloat16, measured on CPU on instances of the real classes with true
#: attention sizes (Ling, Arctic: 2 × KV heads × 128 × 2 bytes × layers, as their files say): what grows with every
#: token, what windowed or chunked layers add until they are full, and how many tokens those see.
CACHES = {
    "k-exaone-236b-a23b": (49_152, 147_456, 128),
    "minimax-m2": (253_952, 0, None),
    "minimax-m3": (137_472, 0, None),
    "qwen2-vl-7b": (57_344, 0, None),
    "qwen3-vl-8b": (147_456, 0, None),
    "mimo-v2-flash": (23_040, 199_680, 128),
    "flexolmo-7x7b-1t": (524_288, 0, None),
    "olmoe-1b-7b": (131_072, 0, None),
    "trinity-large": (61_440, 184_320, 4096),
    "trinity-mini": (16_384, 49_152, 2048),
    "ernie-4.5-300b-a47b": (221_184, 0, None),
    "dbrx": (163_840, 0, None),
    "gemma-4-26b-a4b": (20_480, 204_800, 1024),
    "gemma-4-31b": (81_920, 819_200, 1024),
    "jetmoe-8b": (196_608, 0, None),
    "longcat-flash": (64_512, 0, None),
    "llama-4-maverick": (49_152, 147_456, 8192),
    "llama-4-scout": (49_152, 147_456, 8192),
    "mistral-small-4-119b": (23_040, 0, None),
    "laguna-s-2.1": (49_152, 147_456, 512),
    "laguna-xs.2": (40_960, 122_880, 512),
    "hunyuan-a13b": (131_072, 0, None),
    "hunyuan-large": (81_920, 0, None),
    "hy3": (327_680, 0, None),
    "solar-open-100b": (196_608, 0, None),
    "glm-4.5": (376_832, 0, None),
    "glm-4.5-air": (188_416, 0, None),
    "glm-4.7-flash": (54_144, 0, None),
    "ling-lite": (57_344, 0, None),
    "ling-1t": (327_680, 0, None),
    "snowflake-arctic": (143_360, 0, None),
    "step-3.7-flash": (49_152, 135_168, 512),
}

#: Bytes of parameters per rank that vLLM 0.33 allocates for Llama 4 Scout in bfloat16, by tensor-parallel size.
SCOUT_RANK_BYTES = {1: 217_283_587_072, 2: 108_647_329_024, 4: 54_329_200_000, 8: 27_170_135_488}

#: The same for parts of Gemma 4 26B-A4B, whose vision tower every rank holds whole.
GEMMA_RANK_BYTES = {
    1: {Role.MLP: 1_070_530_560, Role.ROUTED_EXPERT: 45_675_970_560, Role.EMBEDDING: 1_476_395_008},
    8: {Role.MLP: 133_816_320, Role.ROUTED_EXPERT: 5_709_496_320, Role.EMBEDDING: 184_549_376},
}


def config_of(name: str) -> dict:
    path = data_dir("model_specs") / f"{name}.yaml"
    return copy.deepcopy(merged_config(read_document(path), path))


def built(config: dict):
    return build(Fields(config, "config.json"))


def bytes_by_role(name: str, tp: int) -> Counter[Role]:
    spec = load_model(name)
    held: Counter[Role] = Counter()
    for tensor in rank_tensors(spec, Layout(tp=tp), stages(spec.num_layers, 1)[0]):
        part = tensor.part
        if not part.tied_to and not part.buffer:
            held[part.role] += prod(part.shape) * part.copies * (4 if part.dtype == "float32" else 2)
    return held


@pytest.mark.parametrize("name", CACHES)
def test_caches_hold_what_transformers_keeps(name):
    growing, sliding, window = CACHES[name]
    caches = load_model(name).caches
    windowed = [c for c in caches if c.kind in (CacheKind.SLIDING, CacheKind.CHUNKED)]
    assert sum(2 * c.elements_per_entry * len(c.layers) for c in caches if c not in windowed) == growing
    assert sum(2 * c.elements_per_entry * len(c.layers) for c in windowed) == sliding
    assert {c.window_tokens for c in windowed} == ({window} if window else set())


@pytest.mark.parametrize("tp", SCOUT_RANK_BYTES)
def test_llama_4_is_divided_over_ranks_as_vllm_divides_it_tower_included(tp):
    assert sum(bytes_by_role("llama-4-scout", tp).values()) == SCOUT_RANK_BYTES[tp]


@pytest.mark.parametrize("tp", GEMMA_RANK_BYTES)
def test_gemma_4_is_divided_over_ranks_as_vllm_divides_it_tower_excluded(tp):
    held = bytes_by_role("gemma-4-26b-a4b", tp)
    assert {role: held[role] for role in GEMMA_RANK_BYTES[tp]} == GEMMA_RANK_BYTES[tp]
    assert held[Role.VISION] == bytes_by_role("gemma-4-26b-a4b", 1)[Role.VISION]


def test_layers_of_llama_4_alternate():
    maverick = load_model("llama-4-maverick")
    assert maverick.moe_layers == tuple(range(1, 48, 2))
    chunked = next(c for c in maverick.caches if c.kind is CacheKind.CHUNKED)
    assert [i for i in range(8) if i not in chunked.layers] == [3, 7]


def test_router_corrections_are_bytes_without_a_count():
    spec = load_model("minimax-m2")
    bias = next(t for t in spec.tensors if t.name.endswith("e_score_correction_bias"))
    assert (bias.parameters, bias.dtype, bias.copies * bias.shape[0]) == (0, "float32", 15_872)


def test_longcat_has_no_weights_for_experts_that_do_nothing():
    spec = load_model("longcat-flash")
    router = next(t for t in spec.tensors if t.name.endswith("classifier.weight"))
    assert router.out_features == 768
    assert spec.experts.routed == 512
    assert "256 of the 768" in spec.notes[0]
    # transformers makes room for 256 more gate and up projections in each of 28 layers than the checkpoint has.
    room = 28 * 256 * 2 * 2048 * 6144
    assert oracle.total_parameters(config_of("longcat-flash")) - room == spec.params.total


def test_dbrx_stores_experts_one_below_the_other():
    config = {**config_of("dbrx"), "n_layers": 2}
    model = oracle.meta_model(config)
    ours = {}
    for name, tensor in oracle.meta_state_dict(built(config)).items():
        ours[name] = (
            tuple(torch.empty(tensor.shape, device="meta").flatten(0, 1).shape) if "mlp" in name else tensor.shape
        )
    experts = {name: shape for name, shape in ours.items() if "mlp" in name}
    theirs = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert {name for name in ours if name not in experts} == {name for name in theirs if name not in experts}
    # The third matrix is the transpose of its product and stored like the first two.
    assert set(experts.values()) == {(16 * 10_752, 6144)} == {theirs[name] for name in experts}


def test_gemma_4_layers_without_keys_cache_nothing_and_load_no_projections():
    spec = load_model("gemma-4-e2b")
    owners = {i for c in spec.caches for i in c.layers}
    assert owners == set(range(15))
    assert {i for a in spec.attentions for i in a.layers} == set(range(35))
    unused = [t for t in spec.tensors if not t.loaded]
    assert {i for t in unused for i in t.layers} == set(range(15, 35))
    assert {t.name.rpartition("self_attn.")[2] for t in unused} == {"k_proj.weight", "v_proj.weight", "k_norm.weight"}


def test_hunyuan_large_keeps_keys_in_every_second_layer():
    (cache,) = load_model("hunyuan-large").caches
    assert cache.layers == tuple(range(0, 64, 2))


def test_prediction_layers_are_stored_and_not_counted():
    for name, layers in (("glm-4.5", {92}), ("hy3", {80}), ("step-3.5-flash", {45, 46, 47})):
        spec = load_model(name)
        drafts = [t for t in spec.tensors if not t.loaded]
        assert {i for t in drafts for i in t.layers} == layers
        assert spec.params.by_role["mtp"] == spec.params.stored_not_loaded > 0
        assert spec.params.total == sum(t.parameters for t in spec.tensors if t.loaded)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("trinity-mini", {"layer_types": ["full_attention"]}, "layer_types names 1 layers, but the model has 32"),
        ("trinity-mini", {"layer_types": ["linear_attention"] * 32}, "linear_attention"),
        ("minimax-m2", {"num_experts_per_tok": 300}, "300 experts per token of 256 experts"),
        ("hunyuan-a13b", {"moe_topk": [8] * 31 + [4]}, "moe_topk differs between layers"),
        ("mimo-v2-flash", {"moe_layer_freq": [0, 1]}, "moe_layer_freq names 2 layers, but the model has 48"),
        ("ernie-4.5-21b-a3b", {"use_bias": True}, "use_bias is true"),
        ("snowflake-arctic", {"moe_layer_frequency": 2}, "only mixtures in every layer"),
        ("llama-4-scout", {"vision_config": None}, "vision_config is missing"),
        ("step-3.5-flash", {"moe_layers_enum": "3,4,x"}, "moe_layers_enum"),
    ],
)
def test_what_cannot_be_right_is_named(name, change, message):
    with pytest.raises(InputError, match=message):
        built({**config_of(name), **change})


@pytest.mark.parametrize("name", MODELS)
def test_a_key_that_is_missing_or_nonsense_is_an_error_of_ours_or_harmless(name):
    whole = config_of(name)
    places = [(whole, key) for key in whole]
    places += [(inner, key) for inner in whole.values() if isinstance(inner, dict) for key in inner]
    for holder, key in places:
        original = holder[key]
        for nonsense in (None, -1, 0, 1.5, 10**30, "x", [], {}, [1, "a"], ["full_attention"] * 3):
            holder[key] = nonsense
            with contextlib.suppress(MoesizeError):
                assert built(whole).params.total >= 0
        holder[key] = original
    assert built(whole).params.total > 10**8
