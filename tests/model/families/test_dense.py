"""Dense families: options the catalogue does not cover, against the real classes, and what their files can get wrong."""

from __future__ import annotations

import importlib.util
import re
import sys
from math import prod
from pathlib import Path

import pytest

from moesize.errors import MoesizeError
from moesize.memory.layout import Layout
from moesize.memory.sharding import ShardingRules, shard
from moesize.model.architectures import build
from moesize.model.architectures._mobilenetv5 import mobilenet_v5
from moesize.model.fields import Fields
from moesize.model.loader import load_model
from moesize.model.spec import CacheKind, ModelSpec


def _oracle():
    """The module above this directory: with importlib mode it is on no path."""
    spec = importlib.util.spec_from_file_location("moesize_dense_oracle", Path(__file__).parents[1] / "oracle.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


oracle = _oracle()


def spec_of(config: dict) -> ModelSpec:
    return build(Fields(config, "config.json"))


SMALL = {
    "vocab_size": 256, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 128,
}  # fmt: skip
GQA = {**SMALL, "num_key_value_heads": 2}
VISION = {
    "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "image_size": 56, "patch_size": 14,
}  # fmt: skip
CLIP = {**VISION, "model_type": "clip_vision_model"}
LLAMA = {**GQA, "model_type": "llama", "tie_word_embeddings": False}
GEMMA3 = {**GQA, "model_type": "gemma3_text", "head_dim": 16, "sliding_window": 16}
GEMMA3N = {
    **GQA, "model_type": "gemma3n_text", "architectures": ["Gemma3nForCausalLM"], "head_dim": 16, "sliding_window": 16,
    "num_hidden_layers": 10, "num_kv_shared_layers": 5, "vocab_size_per_layer_input": 200,
    "hidden_size_per_layer_input": 8, "altup_num_inputs": 3, "laurel_rank": 4,
}  # fmt: skip
FALCON = {
    "model_type": "falcon", "architectures": ["FalconForCausalLM"], "vocab_size": 256, "hidden_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
GPT = {"vocab_size": 256, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128}

ODD = {
    "opt with norms behind and a narrow embedding": {
        "model_type": "opt", "architectures": ["OPTForCausalLM"], "vocab_size": 256, "hidden_size": 64, "ffn_dim": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128, "word_embed_proj_dim": 32,
        "do_layer_norm_before": False,
    },
    "opt without biases": {
        "model_type": "opt", "architectures": ["OPTForCausalLM"], "vocab_size": 256, "hidden_size": 64, "ffn_dim": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128, "word_embed_proj_dim": 64,
        "enable_bias": False, "layer_norm_elementwise_affine": False,
    },
    "falcon one after the other with biases": {
        **FALCON, "alibi": True, "bias": True, "multi_query": False, "parallel_attn": False,
    },
    "falcon in groups behind one norm": {
        **FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1,
    },
    "falcon in groups behind two norms": {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
    "gpt_bigcode with all heads": {
        **GPT, "model_type": "gpt_bigcode", "architectures": ["GPTBigCodeForCausalLM"], "multi_query": False,
    },
    "gpt2 with its own width": {**GPT, "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_inner": 80},
    "gpt_neo": {
        "model_type": "gpt_neo", "architectures": ["GPTNeoForCausalLM"], "vocab_size": 256, "hidden_size": 64,
        "num_layers": 4, "num_heads": 4, "max_position_embeddings": 128, "window_size": 16,
        "attention_types": [[["global", "local"], 2]],
    },
    "gpt_neox without attention biases": {
        **SMALL, "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "attention_bias": False,
    },
    "phi with norms on heads": {
        **GQA, "model_type": "phi", "architectures": ["PhiForCausalLM"], "qk_layernorm": True,
    },
    "stablelm with a norm for every head": {
        **GQA, "model_type": "stablelm", "architectures": ["StableLmForCausalLM"], "qk_layernorm": True,
        "use_parallel_residual": True, "use_qkv_bias": True,
    },
    "nemotron with biases": {
        **GQA, "model_type": "nemotron", "architectures": ["NemotronForCausalLM"], "head_dim": 24,
        "attention_bias": True, "mlp_bias": True,
    },
    "cohere with norms and biases": {
        **GQA, "model_type": "cohere", "architectures": ["CohereForCausalLM"], "use_qk_norm": True,
        "attention_bias": True,
    },
    "granite with biases": {
        **GQA, "model_type": "granite", "architectures": ["GraniteForCausalLM"], "attention_bias": True,
        "mlp_bias": True,
    },
    "olmo with biases": {**GQA, "model_type": "olmo", "architectures": ["OlmoForCausalLM"], "attention_bias": True},
    "starcoder2 without biases": {
        **GQA, "model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"], "use_bias": False,
    },
    "glm4 with biases": {**GQA, "model_type": "glm4", "architectures": ["Glm4ForCausalLM"], "head_dim": 16, "pad_token_id": 0},
    "minicpm3 without a query latent": {
        **SMALL, "model_type": "minicpm3", "architectures": ["MiniCPM3ForCausalLM"], "num_key_value_heads": 4,
        "kv_lora_rank": 16, "q_lora_rank": None, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8,
    },
    "gemma3 with a pooling head": {
        "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": GEMMA3,
        "vision_config": {**VISION, "vision_use_head": True},
    },
    "gemma3n, the text model alone": {**GEMMA3N, "intermediate_size": 96},
    "gemma3n with widths of its own in every layer": {**GEMMA3N, "intermediate_size": [96, 64] * 5},
    "gemma3n that shares nothing": {**GEMMA3N, "num_kv_shared_layers": 0},
    "llava from several layers": {
        "model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "text_config": LLAMA,
        "vision_config": CLIP, "vision_feature_layer": [-2, -1], "tie_word_embeddings": False,
    },
    "internvl with norms on queries and keys": {
        "model_type": "internvl", "architectures": ["InternVLForConditionalGeneration"], "text_config": LLAMA,
        "vision_config": {
            **VISION, "model_type": "internvl_vision", "image_size": [56, 42], "patch_size": [14, 14],
            "use_qk_norm": True, "norm_type": "rms_norm",
        },
        "tie_word_embeddings": False,
    },
    "llava_next without a projector bias": {
        "model_type": "llava_next", "architectures": ["LlavaNextForConditionalGeneration"], "text_config": LLAMA,
        "vision_config": CLIP, "multimodal_projector_bias": False, "tie_word_embeddings": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ODD))
def test_an_odd_configuration_equals_the_real_class(name):
    config = ODD[name]
    spec = spec_of(config)
    assert spec.params.total == oracle.total_parameters(config)
    assert oracle.differences(spec, config) == []


@pytest.mark.parametrize("family", ["internlm3", "minicpm", "xverse"])
def test_what_is_llama_under_another_name_loads_into_llama(family):
    config = {**GQA, "model_type": family, "tie_word_embeddings": False}
    llama = {**config, "model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    spec = spec_of(config)
    assert spec.architecture == family
    assert spec.params.total == oracle.total_parameters(llama)
    assert oracle.differences(spec, llama) == []


# Gemma 3n: transformers needs timm for its image encoder, so the whole is held against what is published.


def test_gemma3n_stores_what_the_hub_counts_and_counts_what_is_used():
    spec = load_model("gemma-3n-e4b", offline=True)
    stored = sum(prod(t.shape) * t.copies for t in spec.tensors if not t.tied_to)
    assert stored == 7_849_978_192  # https://huggingface.co/google/gemma-3n-E4B-it
    # k_proj, v_proj of 512 x 2048 and k_norm of 256 in the 15 layers that read another's cache
    assert stored - spec.params.total == 15 * (2 * 512 * 2048 + 256)


def test_mobilenet_v5_has_the_parameters_timm_gives_it():
    # timm 1.0.31, mobilenetv5_300m_enc on the meta device
    tensors = mobilenet_v5("tower")
    assert sum(t.parameters for t in tensors) == 294_126_912
    assert len({t.name for t in tensors}) == len(tensors) == 548


def test_layers_that_read_anothers_cache_keep_none():
    spec = load_model("gemma-3n-e4b", offline=True)
    kept = {cache.kind: cache.layers for cache in spec.caches}
    assert kept[CacheKind.FULL] == (4, 9, 14, 19)
    assert len(kept[CacheKind.SLIDING]) == 16
    assert max(kept[CacheKind.SLIDING]) < 20
    assert sum(len(a.layers) for a in spec.attentions) == 35


# What vLLM 0.33's own classes hold per rank, on fake tensors.


@pytest.mark.parametrize(
    ("name", "tp", "expected"),
    [
        ("gemma-3-27b", 1, 54_864_813_280), ("gemma-3-27b", 2, 27_445_541_488),
        ("gemma-3-27b", 4, 13_735_905_592), ("gemma-3-27b", 8, 6_881_087_644),
        ("gemma-2-27b", 1, 54_454_256_640), ("gemma-2-27b", 2, 27_227_980_800),
        ("gemma-2-27b", 4, 13_614_842_880), ("gemma-2-27b", 8, 6_808_273_920),
    ],
)  # fmt: skip
def test_a_rank_holds_what_vllm_loads(name, tp, expected):
    spec = load_model(name, offline=True)
    parts = [shard(t, Layout(tp=tp), ShardingRules()) for t in spec.tensors if not t.tied_to]
    assert sum(prod(t.shape) * t.copies * 2 for t in parts) == expected


def test_gemma3_keeps_a_long_and_a_short_rotary_table():
    spec = load_model("gemma-3-27b", offline=True)
    assert sum(r.rotary_dim * r.positions * 2 for r in spec.ropes) == 301_989_888  # vLLM 0.33, bytes in bfloat16


def test_per_head_norms_are_split_with_their_heads():
    spec = spec_of(ODD["cohere with norms and biases"])
    norms = {t.name: shard(t, Layout(tp=4), ShardingRules()).shape for t in spec.tensors if "_norm" in t.name}
    assert norms["model.layers.{layer}.self_attn.q_norm.weight"] == (1, 16)
    assert norms["model.layers.{layer}.self_attn.k_norm.weight"] == (1, 16)  # 2 heads for 4 ranks: copied


# Windows.


def windowed(spec: ModelSpec) -> tuple[int, ...]:
    return tuple(layer for cache in spec.caches if cache.kind is CacheKind.SLIDING for layer in cache.layers)


@pytest.mark.parametrize(
    ("config", "full"),
    [
        ({**GEMMA3, "num_hidden_layers": 13}, (5, 11)),
        ({**GEMMA3, "num_hidden_layers": 4, "sliding_window_pattern": 2}, (1, 3)),
        ({**GEMMA3, "num_hidden_layers": 4, "_sliding_window_pattern": 2}, (1, 3)),
        ({**GEMMA3, "layer_types": ["full_attention", "sliding_attention", "full_attention"]}, (0, 2)),
        ({**GQA, "model_type": "gemma2", "num_hidden_layers": 4}, (1, 3)),
        ({**GQA, "model_type": "cohere2", "num_hidden_layers": 8, "sliding_window": 16}, (3, 7)),
        ({**GQA, "model_type": "olmo3", "num_hidden_layers": 8}, (3, 7)),
        ({**GQA, "model_type": "exaone4", "num_hidden_layers": 6, "sliding_window": 16}, (3,)),
        (
            {**GQA, "model_type": "exaone4", "num_hidden_layers": 6, "sliding_window": 16,
             "sliding_window_pattern": "LLLG"},
            (3, 5),
        ),
        ({**GQA, "model_type": "exaone4", "num_hidden_layers": 3, "sliding_window_pattern": 4}, (0, 1, 2)),
        ({**GQA, "model_type": "gemma", "sliding_window": 16}, (0, 1, 2)),
    ],
)  # fmt: skip
def test_which_layers_see_everything(config, full):
    spec = spec_of(config)
    assert set(range(spec.num_layers)) - set(windowed(spec)) == set(full)
    capped = [layer for a in spec.attentions if a.window_tokens for layer in a.layers]
    assert set(capped) == set(windowed(spec))


def test_a_window_beyond_the_context_is_none():
    phi = {**GQA, "model_type": "phi3", "sliding_window": 128}
    assert windowed(spec_of(phi)) == ()
    assert windowed(spec_of({**phi, "sliding_window": 127})) == (0, 1, 2)


# Refusals.


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({**GEMMA3, "layer_types": ["full_attention"]}, "layer_types names 1 layers, but the model has 3"),
        ({**GEMMA3, "layer_types": ["full_attention"] * 2 + ["linear_attention"]}, "linear_attention"),
        (
            {**GQA, "model_type": "exaone4", "sliding_window": 16, "sliding_window_pattern": "LLX"},
            "sliding_window_pattern is 'LLX'",
        ),
        ({**GEMMA3N, "intermediate_size": [96, 64]}, "2 widths for 10 layers"),
        ({**GEMMA3N, "num_kv_shared_layers": 11}, "num_kv_shared_layers is 11"),
        (
            {"model_type": "llava", "text_config": LLAMA, "vision_config": {**CLIP, "model_type": "clip_vision"}},
            "clip_vision",
        ),
        ({"model_type": "llava", "vision_config": CLIP}, "text_config is missing"),
        ({"model_type": "mpt", "d_model": 64, "n_heads": 4, "n_layers": 2, "no_bias": False}, "no_bias is false"),
        ({"model_type": "mpt", "attn_config": {"alibi": False}}, "alibi is false"),
        ({**GQA, "model_type": "minicpm", "num_experts": 8}, "num_experts is set"),
        ({**SMALL, "model_type": "qwen", "intermediate_size": 97}, "intermediate_size 97 is odd"),
        (
            {"model_type": "chatglm", "num_layers": 2, "num_attention_heads": 4, "hidden_size": 64,
             "padded_vocab_size": 256, "seq_length": 128, "kv_channels": 16},
            "ffn_hidden_size is missing",
        ),
        (
            {**SMALL, "model_type": "gpt_neo", "attention_layers": ["global", "local", "nearby"]},
            "attention_layers has 'nearby'",
        ),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_refused_by_name(config, named):
    with pytest.raises(MoesizeError, match=re.escape(named)):
        spec_of(config)
