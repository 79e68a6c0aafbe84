"""What is special in the Llama, Mistral, Qwen, DeepSeek, gpt-oss, Grok and Switch families and in counts-only models."""

from __future__ import annotations

import pytest

from moesize.errors import InputError, NotSizeableError, UnknownNameError
from moesize.model.architectures import build
from moesize.model.configs import spec_from_config
from moesize.model.fields import Fields
from moesize.model.loader import load_model
from moesize.model.published import counts_spec
from moesize.model.spec import CacheKind, Role, Rope

DENSE = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 512,
}  # fmt: skip
MIXTURE = {**DENSE, "moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2}
LATENT = {
    **DENSE, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "q_lora_rank": 16,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "first_k_dense_replace": 1,
}  # fmt: skip


def spec(base: dict, model_type: str, **keys):
    return spec_from_config({**base, "model_type": model_type, **keys}, "config.json")


def windows(model):
    return {c.kind: (c.layers, c.window_tokens) for c in model.caches}


class TestWindows:
    def test_a_mistral_configuration_without_the_key_has_the_class_window_and_with_null_none(self):
        assert windows(spec(DENSE, "mistral")) == {CacheKind.SLIDING: ((0, 1, 2, 3), 4096)}
        assert windows(spec(DENSE, "mistral", sliding_window=None)) == {CacheKind.FULL: ((0, 1, 2, 3), None)}

    def test_later_mistral_releases_gave_the_window_up(self):
        assert windows(load_model("mistral-7b-v0.1")) == {CacheKind.SLIDING: (tuple(range(32)), 4096)}
        assert windows(load_model("mistral-7b-v0.3")) == {CacheKind.FULL: (tuple(range(32)), None)}

    def test_qwen2_states_a_window_that_only_its_switch_turns_on(self):
        off = spec(DENSE, "qwen2", sliding_window=128, max_window_layers=2, use_sliding_window=False)
        on = spec(DENSE, "qwen2", sliding_window=128, max_window_layers=3, use_sliding_window=True)
        assert windows(off) == {CacheKind.FULL: ((0, 1, 2, 3), None)}
        assert windows(on) == {CacheKind.FULL: ((0, 1, 2), None), CacheKind.SLIDING: ((3,), 128)}

    def test_qwen2_moe_alternates_below_its_limit_and_qwen3_moe_windows_every_layer(self):
        keys = {"use_sliding_window": True, "sliding_window": 128, "max_window_layers": 3}
        second = spec(MIXTURE, "qwen2_moe", shared_expert_intermediate_size=64, **keys)
        assert windows(second) == {CacheKind.SLIDING: ((0, 2), 128), CacheKind.FULL: ((1, 3), None)}
        assert windows(spec(MIXTURE, "qwen3_moe", **keys)) == {CacheKind.SLIDING: ((0, 1, 2, 3), 128)}

    def test_gpt_oss_begins_with_a_window(self):
        assert windows(load_model("gpt-oss-20b")) == {
            CacheKind.FULL: (tuple(range(1, 24, 2)), None),
            CacheKind.SLIDING: (tuple(range(0, 24, 2)), 128),
        }

    @pytest.mark.parametrize(
        ("types", "said"), [(["full_attention"] * 3, "names 3 layers"), (["full_attention"] * 3 + ["spiral"], "spiral")]
    )
    def test_layer_types_must_be_known_and_as_many_as_layers(self, types, said):
        keys = {"use_sliding_window": True, "sliding_window": 128, "max_window_layers": 2}
        with pytest.raises(InputError, match=said):
            spec(DENSE, "qwen3", layer_types=types, **keys)


class TestMixtures:
    def test_dense_layers_by_list_and_by_step(self):
        assert spec(MIXTURE, "qwen3_moe", mlp_only_layers=[1]).moe_layers == (0, 2, 3)
        assert spec(MIXTURE, "qwen3_moe", decoder_sparse_step=2).moe_layers == (1, 3)

    def test_a_dense_layer_that_is_not_there_is_an_error(self):
        with pytest.raises(InputError, match="mlp_only_layers names layer 7"):
            spec(MIXTURE, "qwen3_moe", mlp_only_layers=[7])

    def test_more_experts_per_token_than_experts_is_an_error(self):
        with pytest.raises(InputError, match="9 experts per token of 8"):
            spec({**MIXTURE, "num_experts_per_tok": 9}, "qwen3_moe")

    def test_switch_layers_follow_the_first_of_each_pair(self):
        switch = load_model("switch-base-8")
        routed = {t.layers for t in switch.tensors if t.role is Role.ROUTED_EXPERT}
        assert routed == {(1, 3, 5, 7, 9, 11)}
        assert switch.num_layers == 24

    def test_grok_2_has_a_dense_mlp_beside_its_experts(self):
        roles = load_model("grok-2").params.by_role
        assert roles["mlp"] == 64 * 3 * 8192 * 32_768
        assert "mlp" not in load_model("grok-1").params.by_role

    def test_another_model_called_git_is_not_taken_for_grok(self):
        with pytest.raises(InputError, match="read as Grok-2 only"):
            spec(MIXTURE, "git", architectures=["GitForCausalLM"])


class TestLatentAttention:
    def test_without_a_query_rank_queries_come_from_the_hidden_state(self):
        names = {
            t.name.rpartition("self_attn.")[2] for t in spec({**LATENT, "q_lora_rank": None}, "deepseek_v3").tensors
        }
        assert "q_proj.weight" in names
        assert "q_a_proj.weight" not in names

    def test_the_cache_is_one_latent_with_its_rotary_part(self):
        (cache,) = spec(LATENT, "deepseek_v3").caches
        assert (cache.kind, cache.elements_per_entry, cache.rope_dim) == (CacheKind.LATENT, 16 + 4, 4)

    def test_only_layers_with_their_own_indexer_keep_its_keys(self):
        keys = {"index_n_heads": 2, "index_head_dim": 8, "index_topk": 16}
        types = ["full", "full", "shared", "full"]
        model = spec(LATENT, "glm_moe_dsa", indexer_types=types, **keys)
        assert windows(model)[CacheKind.INDEXER][0] == (0, 1, 3)
        assert {t.layers for t in model.tensors if t.role is Role.INDEXER} == {(0, 1, 3)}

    def test_prediction_layers_are_stored_and_not_loaded(self):
        counts = load_model("deepseek-v3").params
        assert counts.total == 671_026_404_352
        assert counts.by_role["mtp"] == counts.stored_not_loaded == 11_610_068_224 - 256 + 1_853_358_080

    def test_rotary_tables_are_as_wide_as_vllm_makes_them(self):
        # vLLM 0.33 holds 20,971,520 B for DeepSeek-V3 in bfloat16 and 83,886,080 B for V3.2 (two tables, float32).
        assert load_model("deepseek-v3").ropes == (Rope(64, 163_840, None),)
        assert load_model("deepseek-v3.2").ropes == (Rope(64, 163_840, "float32"),) * 2


class TestReading:
    def test_an_embedding_model_has_no_head_and_names_that_start_at_the_layers(self):
        model = load_model("e5-mistral-7b-instruct")
        assert model.params.total == 7_110_660_096
        assert not [t for t in model.tensors if t.role is Role.LM_HEAD or t.name.startswith("model.")]

    def test_an_unknown_model_type_names_the_nearest_and_can_be_read_as_another(self):
        with pytest.raises(UnknownNameError, match=r"did you mean .*llama") as error:
            spec(DENSE, "lllama")
        assert "--as" in str(error.value)
        as_llama = build(Fields({**DENSE, "model_type": "lllama"}, "config.json"), family="llama")
        assert as_llama.params == spec(DENSE, "llama").params

    @pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
    def test_a_missing_dimension_is_named_with_its_file(self, key):
        with pytest.raises(InputError, match=rf"config\.json: {key} is missing"):
            spec({k: v for k, v in DENSE.items() if k != key}, "llama")


class TestCountsOnly:
    def test_rumoured_counts_size_weights_and_nothing_else(self):
        model = load_model("gpt-4")
        assert (model.params.total, model.params.active) == (1_800_000_000_000, 280_000_000_000)
        assert (model.experts.routed, model.experts.per_token) == (16, 2)
        assert (model.caches, model.context_length) == ((), None)
        assert any("KV cache" in note for note in model.notes)

    def test_what_discloses_nothing_says_so(self):
        with pytest.raises(NotSizeableError, match="Anthropic has published neither"):
            load_model("claude-opus")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"active": 300}, "active is 300, more than the total"),
            ({"experts_per_token": 17}, "experts_per_token is 17"),
            ({"total": "many"}, "total is 'many'"),
            ({"surprise": 1}, "unknown key 'surprise'"),
            ({"source": None}, "source is missing"),
        ],
    )
    def test_counts_that_cannot_be_right_are_named(self, change, said):
        counts = {"total": 200, "active": 100, "experts": 16, "experts_per_token": 2, "source": "a paper", **change}
        with pytest.raises(InputError, match=said):
            counts_spec(Fields({"counts": counts}, "x.yaml"))
