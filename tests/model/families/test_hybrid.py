"""Hybrids: recurrent states, compressed caches, draft layers and other things the catalogue-wide tests do not look at."""

from __future__ import annotations

from math import prod

import pytest

from moesize.data import data_dir
from moesize.errors import InputError
from moesize.memory.kv_cache import state_bytes_per_sequence
from moesize.memory.layout import Layout, stages
from moesize.memory.sharding import rank_tensors
from moesize.model.architectures import build
from moesize.model.catalogue import load
from moesize.model.fields import Fields
from moesize.model.spec import CacheKind, ModelSpec
from moesize.model.spec_file import merged_config, read_document
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.sizes import checkpoint_bytes


def caches(spec: ModelSpec, kind: CacheKind):
    return [cache for cache in spec.caches if cache.kind is kind]


def elements(tensors) -> int:
    return sum(prod(t.shape) * t.copies for t in tensors)


# Bytes of all layers' states as transformers 5.23 keeps them, measured on instances with the real dimensions.
@pytest.mark.parametrize(
    ("name", "n_bytes"),
    [
        ("qwen3-next-80b-a3b", 77_856_768),
        ("qwen3.5-27b", 154_927_104),
        ("qwen3.5-397b-a17b", 193_167_360),
        ("qwen3.8-2.4t-a95b", 590_118_912),
        ("nemotron-3-nano-30b-a3b", 49_364_992),
        ("nemotron-3-ultra-550b-a55b", 409_731_072),
        ("granite-4.0-h-small", 153_427_968),
        ("granite-4.0-h-tiny", 57_581_568),
        ("jamba-1.5-large", 74_317_824),
        ("jamba-v0.1", 16_515_072),
        ("minimax-text-01", 146_800_640),
        ("falcon-mamba-7b", 37_748_736),
        ("ling-3.0-flash", 76_840_960),
    ],
)
def test_states_of_a_sequence_are_those_measured(name, n_bytes):
    assert state_bytes_per_sequence(load(name)) == n_bytes


# vLLM 0.33's own classes built for one rank: bytes of all bf16 parameters but the decay vectors, which it widens to float32.
@pytest.mark.parametrize(
    ("name", "tp", "n_bytes", "widened"),
    [
        ("qwen3-next-80b-a3b", 1, 159_348_784_896, 36 * 32),
        ("qwen3-next-80b-a3b", 8, 20_026_091_360, 36 * 4),
        ("qwen3.5-35b-a3b", 8, 8_837_751_532, 30 * 4),
        ("qwen3.5-122b-a10b", 4, 61_364_517_048, 36 * 16),
        ("jamba-v0.1", 2, 51_575_316_224, 28 * 4096 * 16),
        ("jamba-v0.1", 8, 12_895_813_376, 28 * 1024 * 16),
    ],
)
def test_a_rank_holds_what_it_holds_in_vllm(name, tp, n_bytes, widened):
    spec = load(name)
    held = rank_tensors(spec, Layout(tp=tp), stages(spec.num_layers, 1)[0])
    own = elements(t.part for t in held if not t.part.tied_to)
    tower = sum(r.rotary_dim * r.positions for r in spec.ropes if r.positions == 8192)
    # vLLM counts the tower's rotary table with its buffers, not with parameters.
    assert 2 * own + 2 * widened == n_bytes, tower


def test_a_tower_stands_whole_on_the_first_stage_of_a_pipeline():
    spec = load("qwen3.5-35b-a3b")
    held = [rank_tensors(spec, Layout(pp=4), stage) for stage in stages(spec.num_layers, 4)]
    tower = [elements(t.part for t in stage if t.part.role.value == "vision") for stage in held]
    assert tower == [spec.params.by_role["vision"], 0, 0, 0]


def test_deepseek_v4_flash_has_the_dtypes_of_its_checkpoint():
    """Elements by dtype in the headers of deepseek-ai/DeepSeek-V4-Flash@60d8d70 (FP4 unpacked, block scales left out)."""
    tensors = load("deepseek-v4-flash").tensors
    by_dtype = {dtype: elements(t for t in tensors if t.dtype == dtype) for dtype in {t.dtype for t in tensors}}
    assert by_dtype == {
        "float32": 36_168_018,
        "int64": 2_327_040,
        None: 1_415_259_264 + 6_023_020_544 + 283_467_841_536,
    }


def test_deepseek_v4_flash_takes_the_bytes_of_its_checkpoint():
    """All 69,187 tensors of the same revision, block scales and packed FP4 as they are stored."""
    spec = load("deepseek-v4-flash")
    assert checkpoint_bytes(spec, stored_scheme(spec)) == 159_609_485_896


def test_deepseek_v4_caches_grow_by_one_entry_for_several_tokens():
    spec = load("deepseek-v4-flash")
    (window,) = caches(spec, CacheKind.SLIDING)
    assert (len(window.layers), window.window_tokens, window.elements_per_entry) == (43, 128, 512)
    grown = {(c.kind, c.tokens_per_entry): len(c.layers) * c.elements_per_entry for c in spec.caches if c.key_dim}
    assert grown[CacheKind.COMPRESSED, 4] == 21 * 512
    assert grown[CacheKind.COMPRESSED, 128] == 20 * 512
    assert grown[CacheKind.INDEXER, 4] == 21 * 128
    growing = (c for c in spec.caches if c.kind not in (CacheKind.SLIDING, CacheKind.STATE))
    assert sum(len(c.layers) * c.elements_per_entry * 2 / c.tokens_per_entry for c in growing) == 6880


def test_deepseek_v4_ratios_may_go_on_into_the_draft_layers():
    config = {**load_config("deepseek-v4-flash")}
    assert len(config["compress_ratios"]) == config["num_hidden_layers"] + 1
    whole = build(Fields(config, "x"))
    cut = build(Fields({**config, "compress_ratios": config["compress_ratios"][:-1]}, "x"))
    assert whole == cut


@pytest.mark.parametrize("ratios", [[0, 0, 4], [0, 0, 4, 7] * 20])
def test_deepseek_v4_ratios_that_cannot_be_are_named(ratios):
    config = {**load_config("deepseek-v4-flash"), "compress_ratios": ratios}
    with pytest.raises(InputError, match=r"layers|known are"):
        build(Fields(config, "x"))


# Parameters the Hub counts in the released checkpoint, and how many of them are draft layers transformers leaves out.
@pytest.mark.parametrize(
    ("name", "hub_total"),
    [
        ("nemotron-3-super-120b-a12b", 123_611_012_096),
        ("nemotron-3-ultra-550b-a55b", 560_524_578_816),
        ("qwen3-next-80b-a3b", 81_324_862_720),
        ("qwen3.5-9b", 9_653_104_368),
    ],
)
def test_draft_layers_are_stored_and_not_loaded(name, hub_total):
    params = load(name).params
    assert params.stored_not_loaded
    assert params.total + params.stored_not_loaded == hub_total
    assert params.by_role["mtp"] == params.stored_not_loaded


def test_nemotron_spells_its_layers_in_three_ways():
    config = load_config("nemotron-3-nano-30b-a3b")
    pattern = config.pop("hybrid_override_pattern")
    words = {"M": "mamba", "E": "moe", "*": "attention"}
    new = {"M": "linear_attention", "E": "moe", "*": "full_attention"}
    specs = [
        build(Fields({**config, "hybrid_override_pattern": pattern}, "x")),
        build(Fields({**config, "layers_block_type": [words[letter] for letter in pattern]}, "x")),
        build(Fields({**config, "layer_types": [new[letter] for letter in pattern]}, "x")),
    ]
    assert specs[0] == specs[1] == specs[2]
    assert [len(c.layers) for c in specs[0].caches] == [6, 23]


@pytest.mark.parametrize("pattern", ["MX*E", "M" * 51])
def test_a_nemotron_pattern_that_cannot_be_is_named(pattern):
    config = {**load_config("nemotron-3-nano-30b-a3b"), "hybrid_override_pattern": pattern}
    with pytest.raises(InputError, match="hybrid_override_pattern"):
        build(Fields(config, "x"))


def test_experts_in_a_latent_do_not_narrow_the_router():
    for name in ("nemotron-3-super-120b-a12b", "kimi-k3"):
        spec = load(name)
        (router,) = (t for t in spec.tensors if t.role.value == "router" and not t.buffer and t.loaded)
        assert router.shape[-1] == spec.hidden_size
        experts = [t for t in spec.tensors if t.role.value == "routed_expert" and t.loaded]
        assert spec.hidden_size not in {side for t in experts for side in t.shape}


def test_kimi_k3_counts_what_the_hub_counts():
    spec = load("kimi-k3")
    assert spec.params.total + elements(t for t in spec.tensors if t.buffer) == 2_779_931_837_184
    (latent,) = caches(spec, CacheKind.LATENT)
    assert (len(latent.layers), latent.elements_per_entry) == (24, 576)


@pytest.mark.parametrize("lists", [{"full_attn_layers": [4]}, {"kda_layers": [1, 1]}])
def test_kimi_layers_in_no_list_or_in_two_are_named(lists):
    config = load_config("kimi-linear-48b-a3b")
    config["linear_attn_config"] = {**config["linear_attn_config"], **lists}
    with pytest.raises(InputError, match="once"):
        build(Fields(config, "x"))


def test_one_group_of_a_mamba_layer_is_whole_on_every_rank():
    spec = load("granite-4.0-h-small")
    held = rank_tensors(spec, Layout(tp=8), stages(spec.num_layers, 1)[0])
    (conv,) = (t.part for t in held if t.part.name.endswith("conv1d.weight"))
    assert conv.shape == (8192 // 8 + 2 * 128, 1, 4)
    groups = [s for c in spec.caches for s in c.states if s.name == "conv_groups"]
    assert [s.split_dim for s in groups] == [None]


def test_blocks_of_a_nas_model_have_their_own_widths_or_none():
    spec = load("llama-3.3-nemotron-super-49b")
    (cache,) = spec.caches
    assert len(cache.layers) == 49
    widths = {t.shape[0] for t in spec.tensors if t.name.endswith("up_proj.weight")}
    assert len(widths) == 6
    assert max(widths) == 28672


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (None, "block_configs must be a list"),
        ([], "describes 0 layers"),
        ([{"attention": {"replace_with_linear": True}, "ffn": {"ffn_mult": 1.0}}], "replaced with a linear layer"),
        ([{"attention": {"n_heads_in_group": 3}, "ffn": {"ffn_mult": 1.0}}], "n_heads_in_group 3"),
    ],
)
def test_nas_blocks_that_cannot_be_are_named(blocks, said):
    config = {**load_config("llama-3.3-nemotron-super-49b"), "num_hidden_layers": 1, "block_configs": blocks}
    with pytest.raises(InputError, match=said):
        build(Fields(config, "x"))


def test_cross_attention_layers_keep_the_image_and_no_text():
    spec = load("llama-3.2-11b-vision")
    (own,), (cross,) = caches(spec, CacheKind.FULL), caches(spec, CacheKind.CROSS)
    assert set(own.layers) | set(cross.layers) == set(range(40))
    assert cross.layers == (3, 8, 13, 18, 23, 28, 33, 38)


def test_a_dense_granite_4_is_a_llama_with_another_mlp():
    spec = load("granite-4.0-micro")
    assert [c.kind for c in spec.caches] == [CacheKind.FULL]
    assert not spec.experts.routed
    assert spec.params.by_role["mlp"]


def test_a_state_dtype_the_configuration_names_is_kept():
    config = load_config("qwen3.5-9b")
    config["text_config"] = {**config["text_config"], "mamba_ssm_dtype": "bfloat16"}
    states = {s.name: s.dtype for c in build(Fields(config, "x")).caches for s in c.states}
    assert states == {"conv": None, "recurrent": "bfloat16"}


def load_config(name: str) -> dict:
    """The configuration a catalogue entry is made of."""
    path = data_dir("model_specs") / f"{name}.yaml"
    return dict(merged_config(read_document(path), path))
