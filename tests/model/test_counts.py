"""Counts and caches against figures that are none of ours: what makers print, what the Hub counts, what transformers keeps."""

from __future__ import annotations

import pytest

from moesize.model.loader import load_model
from moesize.model.spec import CacheKind

#: Printed by the makers: (total, convention of the active count, active, routed experts, experts per token).
PRINTED = {
    "mixtral-8x7b": ("46.7", "active", "12.9", 8, 2),
    "mixtral-8x22b": ("140.6", "active", "39.2", 8, 2),
    "deepseek-v2": ("236", "active", "21", 160, 6),
    "deepseek-v2-lite": ("15.7", "active_excluding_input_embedding", "2.5", 64, 6),
    "deepseek-v3": ("671", "active_excluding_input_embedding", "37", 256, 8),
    "deepseek-v3.1": ("671", "active_excluding_input_embedding", "37", 256, 8),
    "deepseek-r1": ("671", "active_excluding_input_embedding", "37", 256, 8),
    "grok-2": ("270", "active", "115", 8, 2),
    "qwen3-30b-a3b": ("30.5", "active", "3.4", 128, 8),
    "qwen3-235b-a22b": ("235", "active", "22", 128, 8),
    "gpt-oss-20b": ("20.9", "active_excluding_input_embedding", "3.6", 32, 4),
    "gpt-oss-120b": ("117", "active_excluding_input_embedding", "5.1", 128, 4),
    "gpt-4": ("1800", "active", "280", 16, 2),
    "switch-base-128": ("7.4", "active", "0.2", 128, 1),
    "switch-xxl-128": ("395", "active", "11", 128, 1),
    "switch-c-2048": ("1571", "active", "2", 2048, 1),
}

#: Elements the Hub counts in the released safetensors: parameters, router buffers, and the MTP layer where there is one.
STORED = {
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b-instruct": 140_630_071_296,
    "deepseek-v2": 235_741_434_880,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-r1": 684_489_845_504,
    "deepseek-v3.2": 685_355_329_792,
    "glm-5": 753_864_139_008,
    "glm-5.2": 753_329_940_480,
    "kimi-k2.5": 1_026_879_376_368,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
}

#: Bytes per token of transformers 5.23's caches in bfloat16, measured on CPU on instances of the real classes with true
#: attention sizes: (what grows with every token, what sliding layers add until their window is full, the window).
MEASURED_CACHE = {
    "llama-2-7b": (524_288, 0, None),
    "llama-2-13b": (819_200, 0, None),
    "llama-2-70b": (327_680, 0, None),
    "llama-3.1-8b": (131_072, 0, None),
    "llama-3.1-70b": (327_680, 0, None),
    "llama-3.1-405b": (516_096, 0, None),
    "llama-3.2-1b": (32_768, 0, None),
    "llama-3.2-3b": (114_688, 0, None),
    "smollm2-135m": (23_040, 0, None),
    "codellama-34b": (196_608, 0, None),
    "mistral-nemo-12b": (163_840, 0, None),
    "mixtral-8x7b": (131_072, 0, None),
    "mixtral-8x22b": (229_376, 0, None),
    "qwen1.5-110b": (327_680, 0, None),
    "qwen2-7b": (57_344, 0, None),
    "qwen2.5-0.5b": (12_288, 0, None),
    "qwen2.5-72b": (327_680, 0, None),
    "qwen3-0.6b": (114_688, 0, None),
    "qwen3-32b": (262_144, 0, None),
    "qwen1.5-moe-a2.7b": (196_608, 0, None),
    "qwen3-30b-a3b": (98_304, 0, None),
    "qwen3-235b-a22b": (192_512, 0, None),
    "qwen3-coder-480b-a35b": (253_952, 0, None),
    "deepseek-v2": (69_120, 0, None),
    "deepseek-v2-lite": (31_104, 0, None),
    "deepseek-v3": (70_272, 0, None),
    "deepseek-v3.2": (85_888, 0, None),
    "moonlight-16b-a3b": (31_104, 0, None),
    "kimi-k2": (70_272, 0, None),
    "kimi-k2.5": (70_272, 0, None),
    "glm-5": (109_824, 0, None),
    "glm-5.2": (95_232, 0, None),
    "gpt-oss-20b": (24_576, 24_576, 128),
    "gpt-oss-120b": (36_864, 36_864, 128),
}


def as_printed(count: int, printed: str) -> str:
    """`count` in billions with as many decimals as were printed."""
    return f"{count / 1e9:.{len(printed.partition('.')[2])}f}"


def test_mixtral_is_counted_to_the_last_parameter():
    params = load_model("mixtral-8x7b").params
    assert (params.total, params.active) == (46_702_792_704, 12_879_925_248)
    assert params.active_excluding_input_embedding == 12_879_925_248 - 32_000 * 4096
    assert params.active_excluding_embeddings == 12_879_925_248 - 2 * 32_000 * 4096


@pytest.mark.parametrize("name", PRINTED)
def test_printed_counts_come_out_rounded_as_printed(name):
    total, convention, active, experts, per_token = PRINTED[name]
    spec = load_model(name)
    assert as_printed(spec.params.total, total) == total
    assert as_printed(getattr(spec.params, convention), active) == active
    assert (spec.experts.routed, spec.experts.per_token) == (experts, per_token)


@pytest.mark.parametrize("name", STORED)
def test_stored_elements_are_those_the_hub_counts(name):
    spec = load_model(name)
    buffers = sum(t.shape[0] * t.copies for t in spec.tensors if t.buffer)
    assert spec.params.total + spec.params.stored_not_loaded + buffers == STORED[name]


@pytest.mark.parametrize("name", ["llama-2-70b", "llama-3.1-8b", "qwen2.5-72b", "mistral-7b-v0.1"])
def test_every_parameter_of_a_dense_model_is_active(name):
    spec = load_model(name)
    assert spec.params.active == spec.params.total
    assert spec.moe_layers == ()


def test_tied_weights_count_once():
    tied = load_model("llama-3.2-1b")
    assert tied.params.total == 1_235_814_400
    # The table does the head's work, so only the convention without both leaves it out.
    assert tied.params.active_excluding_input_embedding == tied.params.total
    assert tied.params.active_excluding_embeddings == tied.params.total - 128_256 * 2048


@pytest.mark.parametrize("name", MEASURED_CACHE)
def test_cache_bytes_per_token_are_those_transformers_keeps(name):
    growing, sliding, window = MEASURED_CACHE[name]
    caches = load_model(name).caches
    by_token = {c: 2 * c.elements_per_entry * len(c.layers) for c in caches}
    assert sum(size for c, size in by_token.items() if c.kind is not CacheKind.SLIDING) == growing
    assert sum(size for c, size in by_token.items() if c.kind is CacheKind.SLIDING) == sliding
    assert {c.window_tokens for c in caches if c.kind is CacheKind.SLIDING} == ({window} if window else set())
