"""Hunyuan 3 (Hy3): grouped-query attention with query and key norms, one shared expert, one prediction layer.

Names: transformers `models/hy_v3` and its conversion from `tencent/Hy3`.
"""

from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `hy_v3` configuration."""
    moe.refuse(config, "attention_bias", "mlp_bias")
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    width, shared = config.count("moe_intermediate_size"), config.expert_count("num_shared_experts", minimum=0)
    num_layers = config.layer_count("num_hidden_layers")
    kinds = config.layer_types(num_layers, _mlp_types(config, num_layers), "mlp_layer_types")
    moe.known_types(config, kinds, ("dense", "sparse"), "mlp_layer_types")
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=config.count("intermediate_size"),
        moe_intermediate_size=width,
        experts=config.expert_count("num_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=width * shared,
        qk_norm="head",
        gate="router.gate",
        correction="expert_bias",
        shared="shared_mlp",
    )  # fmt: skip
    predicted = moe.next_n_layers(config, num_layers)
    mtp = [
        *gqa_moe.layers_of(design, (), predicted),
        *moe.next_n_ends("model.layers.{layer}", predicted, hidden_size=hidden),
    ]
    return gqa_moe.decoder(
        config, design, family="hy_v3",
        dense=moe.where_layer(kinds, "dense"), sparse=moe.where_layer(kinds, "sparse"),
        shared_experts=shared, more=moe.not_loaded(mtp),
    )  # fmt: skip


def _mlp_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    first = config.count("first_k_dense_replace", default=1, minimum=0)
    return tuple("dense" if i < first else "sparse" for i in range(num_layers))
