"""FLOPs against torch's FlopCounterMode on small instances of the real transformers classes."""

from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from moesize.compute.flops import attention_flops, decode_flops, matmul_flops, prefill_flops
from moesize.model.architectures import build
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

TOKENS = 12
BASE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 160, "max_position_embeddings": 64, "torch_dtype": "float32",
    "tie_word_embeddings": False, "rms_norm_eps": 1e-6,
}  # fmt: skip
MOE = {"moe_intermediate_size": 40, "num_experts": 8, "num_experts_per_tok": 2, "norm_topk_prob": True}
MLA = {
    "q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16,
    "num_key_value_heads": 4, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2,
    "moe_intermediate_size": 40, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
}  # fmt: skip

#: model_type -> (class, keys beside BASE)
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen3": ("Qwen3ForCausalLM", {"head_dim": 24}),
    "mixtral": ("MixtralForCausalLM", {"num_local_experts": 8, "num_experts_per_tok": 2}),
    "qwen3_moe": ("Qwen3MoeForCausalLM", MOE | {"head_dim": 24, "decoder_sparse_step": 1, "mlp_only_layers": [1]}),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM", MOE | {"shared_expert_intermediate_size": 56, "decoder_sparse_step": 1, "mlp_only_layers": []},
    ),
    "olmoe": ("OlmoeForCausalLM", {"num_experts": 8, "num_experts_per_tok": 2}),
    "deepseek_v3": ("DeepseekV3ForCausalLM", MLA),
    "gpt_oss": (
        "GptOssForCausalLM",
        {"num_local_experts": 8, "num_experts_per_tok": 2, "head_dim": 16, "sliding_window": 64,
         "layer_types": ["full_attention"] * 3},
    ),
    "gemma2": ("Gemma2ForCausalLM", {"head_dim": 16, "tie_word_embeddings": True, "query_pre_attn_scalar": 16}),
    "glm4_moe": (
        "Glm4MoeForCausalLM",
        {"head_dim": 16, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 40,
         "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "use_qk_norm": True, "attention_bias": True},
    ),
    "phi3": ("Phi3ForCausalLM", {"pad_token_id": 0}),
    "cohere": ("CohereForCausalLM", {"tie_word_embeddings": True}),
}  # fmt: skip


def counted(name: str, config: dict[str, Any]) -> int:
    """FLOPs of one forward pass of TOKENS tokens, matrix products only, as torch counts them."""
    values = dict(config)
    hf = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    hf._attn_implementation = "eager"
    hf._experts_implementation = "eager"
    torch.manual_seed(0)
    model = getattr(transformers, name)(hf).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.arange(TOKENS).unsqueeze(0), use_cache=False)
    return int(counter.get_total_flops())


def spec_of(model_type: str) -> tuple[str, dict[str, Any], ModelSpec]:
    name, extra = FAMILIES[model_type]
    config = {"model_type": model_type, "architectures": [name], **BASE, **extra}
    return name, config, build(Fields(config, "test"))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_forward_pass_costs_what_torch_counts(model_type: str) -> None:
    name, config, spec = spec_of(model_type)
    matmuls = TOKENS * sum(matmul_flops(tensor) for tensor in spec.tensors)
    products = TOKENS * attention_flops(spec, TOKENS)  # eager attention multiplies the masked half too
    assert counted(name, config) == matmuls + products


def test_decoding_sees_the_context_and_prefill_half_of_it_on_average() -> None:
    _, _, spec = spec_of("llama")
    no_context = sum(matmul_flops(t) for t in spec.tensors)
    assert decode_flops(spec, 100) - no_context == attention_flops(spec, 100)
    assert prefill_flops(spec, 1) == decode_flops(spec, 1)
    assert prefill_flops(spec, 4096) < decode_flops(spec, 4096)


def test_a_window_caps_what_a_token_sees() -> None:
    _, config, _ = spec_of("mixtral")
    windowed = build(Fields({**config, "sliding_window": 10}, "test"))
    assert attention_flops(windowed, 10_000) == attention_flops(windowed, 10)
    assert prefill_flops(windowed, 1000) < prefill_flops(build(Fields(config, "test")), 1000)
