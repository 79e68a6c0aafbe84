"""Draft heads: what is stored, what an engine loads beside the target, and which configurations are of one."""

from __future__ import annotations

from typing import Any

import pytest

from moesize.errors import MoesizeError
from moesize.explain import explain
from moesize.model.caches import CacheKind
from moesize.model.configs import spec_from_config
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec

HEAD: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLMEagle3"],
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1000,
    "draft_vocab_size": 300,
    "max_position_embeddings": 512,
}
LAYER = {k: v for k, v in HEAD.items() if k not in ("architectures", "draft_vocab_size")}


def read(**over: Any) -> ModelSpec:
    return spec_from_config({k: v for k, v in {**HEAD, **over}.items() if v is not None}, "config.json")


def shapes(spec: ModelSpec, *, loaded: bool | None = None) -> dict[str, tuple[int, ...]]:
    return {t.name: t.shape for t in spec.tensors if loaded in (None, t.loaded)}


def test_an_eagle3_head_reads_two_streams_and_three_hidden_states() -> None:
    assert shapes(read()) == {
        "fc.weight": (64, 192),
        "midlayer.hidden_norm.weight": (64,),
        "midlayer.input_layernorm.weight": (64,),
        "midlayer.post_attention_layernorm.weight": (64,),
        "midlayer.self_attn.q_proj.weight": (64, 128),
        "midlayer.self_attn.k_proj.weight": (32, 128),
        "midlayer.self_attn.v_proj.weight": (32, 128),
        "midlayer.self_attn.o_proj.weight": (64, 64),
        "midlayer.mlp.gate_proj.weight": (160, 64),
        "midlayer.mlp.up_proj.weight": (160, 64),
        "midlayer.mlp.down_proj.weight": (64, 160),
        "norm.weight": (64,),
        "lm_head.weight": (300, 64),
        "d2t": (300,),
        "t2d": (1000,),
    }


def test_it_keeps_keys_and_values_of_one_layer() -> None:
    (cache,) = read().caches
    assert (cache.kind, cache.layers, cache.num_kv_heads, cache.key_dim, cache.value_dim) == (
        CacheKind.FULL,
        (0,),
        2,
        16,
        16,
    )


def test_the_map_of_the_targets_vocabulary_is_stored_and_not_loaded() -> None:
    spec = read()
    assert shapes(spec, loaded=False) == {"t2d": (1000,)}
    assert spec.params.stored_not_loaded == 0  # a map is no parameter
    assert not {"d2t", "t2d"} & shapes(read(draft_vocab_size=1000)).keys()


def test_without_a_drafted_vocabulary_the_head_covers_all_of_it() -> None:
    assert shapes(read(draft_vocab_size=None))["lm_head.weight"] == (1000, 64)


def test_a_head_the_checkpoint_leaves_out_is_the_targets() -> None:
    assert "lm_head.weight" not in shapes(read(has_own_lm_head=False))


def test_a_speculator_stores_a_copy_of_the_embedding_that_engines_share() -> None:
    nested = {
        "model_type": "speculator_model",
        "speculators_model_type": "eagle3",
        "draft_vocab_size": 300,
        "transformer_layer_config": LAYER,
    }
    spec = spec_from_config(nested, "config.json")
    assert shapes(spec, loaded=False) == {"embed_tokens.weight": (1000, 64), "t2d": (1000,)}
    assert spec.params.total == read().params.total
    assert spec.params.stored_not_loaded == 64000
    qwen = {**nested, "transformer_layer_config": {**LAYER, "model_type": "qwen3"}}
    assert shapes(spec_from_config(qwen, "config.json"))["layers.0.self_attn.q_norm.weight"] == (16,)


@pytest.mark.parametrize(
    ("over", "name", "shape"),
    [
        ({"target_hidden_size": 96}, "fc.weight", (64, 288)),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": [1, 2]}}, "fc.weight", (64, 128)),
        ({"num_aux_hidden_states": 4}, "fc.weight", (64, 256)),
        ({"eagle_config": {"norm_before_fc": True}}, "input_norm.weight", (192,)),
        ({"norm_before_fc": True}, "input_norm.weight", (192,)),
        ({"fc_norm": True}, "fc_norm.2.weight", (64,)),
        ({"attention_bias": True}, "midlayer.self_attn.q_proj.bias", (64,)),
    ],
)
def test_variants_of_the_joint(over: dict[str, Any], name: str, shape: tuple[int, ...]) -> None:
    assert shapes(read(**over))[name] == shape


def test_a_head_that_reads_the_last_hidden_state_alone_has_no_joint() -> None:
    assert "fc.weight" not in shapes(read(eagle_config={"use_aux_hidden_state": False}))


@pytest.mark.parametrize(
    ("over", "family"),
    [
        ({}, "eagle3"),
        ({"architectures": ["LlamaForCausalLM"]}, "eagle3"),  # as the authors' own heads are called
        ({"draft_vocab_size": None}, "eagle3"),
        ({"architectures": ["LlamaForCausalLM"], "draft_vocab_size": None}, "llama"),
        ({"architectures": None, "draft_vocab_size": None}, "llama"),
    ],
)
def test_what_says_that_a_configuration_is_of_a_head(over: dict[str, Any], family: str) -> None:
    assert read(**over).architecture == family


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"num_hidden_layers": 2}, "num_hidden_layers is 2"),
        ({"speculators_model_type": "dspark"}, "dspark"),
    ],
)
def test_other_heads_are_refused_by_name(over: dict[str, Any], message: str) -> None:
    with pytest.raises(MoesizeError, match=message):
        read(**over)


def test_latent_attention_reads_two_streams_and_keeps_a_latent() -> None:
    spec = load_model("eagle3-kimi-k2.6")
    assert shapes(spec)["midlayer.self_attn.q_a_proj.weight"] == (1536, 2 * 7168)
    assert shapes(spec)["midlayer.self_attn.kv_a_proj_with_mqa.weight"] == (576, 2 * 7168)
    assert [(c.kind, c.key_dim) for c in spec.caches] == [(CacheKind.LATENT, 576)]


def test_an_eagle_head_has_no_first_norm_and_nothing_of_the_vocabulary() -> None:
    spec = spec_from_config({"model_type": "eagle", "model": {**LAYER, "num_hidden_layers": 2}}, "config.json")
    layers = {t.name: t.layers for t in spec.tensors}
    assert shapes(spec)["fc.weight"] == (64, 128)
    assert layers["layers.{layer}.input_layernorm.weight"] == (1,)
    assert layers["layers.{layer}.post_attention_layernorm.weight"] == (0, 1)
    assert not {"embed_tokens.weight", "lm_head.weight", "norm.weight"} & layers.keys()
    assert [c.layers for c in spec.caches] == [(0, 1)]
    flat = spec_from_config({**LAYER, "model_type": "eagle", "eagle_fc_bias": True}, "config.json")
    assert shapes(flat)["fc.bias"] == (64,)


def test_a_copied_embedding_is_stored_and_not_loaded() -> None:
    spec = spec_from_config({**LAYER, "model_type": "eagle", "has_own_embed_tokens": True}, "config.json")
    assert shapes(spec, loaded=False) == {"embed_tokens.weight": (1000, 64)}


def test_a_head_is_never_the_dense_model_a_mixture_is_compared_with() -> None:
    spec = load_model("granite-3.1-1b-a400m")  # of whose active size there are heads
    found = explain(spec)
    assert len(found.dense_of_equal_compute) > 0
    names = [model.name for model in (*found.dense_of_equal_memory, *found.dense_of_equal_compute)]
    assert not any("eagle" in name for name in names)
