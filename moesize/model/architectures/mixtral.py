"""Mixtral: llama attention, every layer a mixture of gated experts.

Names: transformers `models/mixtral`, checkpoint `mistralai/Mixtral-8x7B-v0.1` (`block_sparse_moe.experts.N.w1`).
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `mixtral` configuration."""
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = blocks.head_dim_of(config, hidden, heads)
    window = config.maybe_count("sliding_window")
    moe = "model.layers.{layer}.block_sparse_moe"
    experts = config.expert_count("num_local_experts")
    return blocks.assemble(
        config,
        family="mixtral",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm("model.layers.{layer}.input_layernorm", hidden, layers),
            *blocks.gqa(
                "model.layers.{layer}.self_attn", layers,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *blocks.norm("model.layers.{layer}.post_attention_layernorm", hidden, layers),
            *blocks.router(f"{moe}.gate", experts, hidden, layers),
            *blocks.glu_experts(
                f"{moe}.experts", layers,
                hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
                experts=experts, per_token=config.expert_count("num_experts_per_tok"), names=("w1", "w3", "w2"),
            ),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim, window_tokens=window),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim, window_tokens=window),
        ropes=blocks.rope_of(config, head_dim),
    )  # fmt: skip
