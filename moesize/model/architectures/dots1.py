"""dots.llm1: DeepSeek's shared and routed experts under grouped-query attention with query and key norms.

Names: transformers `models/dots1`.
"""

from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `dots1` configuration; layers from `max_window_layers` on may have a window."""
    moe.refuse(config, "attention_bias")
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    width, shared = config.count("moe_intermediate_size"), config.expert_count("n_shared_experts", minimum=0)
    num_layers = config.layer_count("num_hidden_layers")
    dense, sparse = moe.first_dense(num_layers, config.count("first_k_dense_replace", minimum=0))
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=config.count("intermediate_size"),
        moe_intermediate_size=width,
        experts=config.expert_count("n_routed_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=width * shared,
        qk_norm="head",
        correction="gate.e_score_correction_bias",
    )  # fmt: skip
    window = config.maybe_count("sliding_window")
    first = config.count("max_window_layers", default=num_layers, minimum=0)
    default = ("sliding_attention" if window and i >= first else "full_attention" for i in range(num_layers))
    types = config.layer_types(num_layers, default)
    moe.known_types(config, types, ("sliding_attention", "full_attention"))
    sliding = moe.where_layer(types, "sliding_attention")
    return gqa_moe.decoder(
        config, design, family="dots1", dense=dense, sparse=sparse,
        sliding=sliding, window_tokens=window, shared_experts=shared,
    )  # fmt: skip
