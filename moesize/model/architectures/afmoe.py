"""Arcee Trinity (AFMoE): gated attention, norms around attention and MLP, three windowed layers to one full one.

Names: transformers `models/afmoe`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Split


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `afmoe` configuration; only windowed layers are rotated."""
    moe.refuse(config, "attention_bias")
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    width, shared = config.count("moe_intermediate_size"), config.expert_count("num_shared_experts", minimum=0)
    num_layers = config.layer_count("num_hidden_layers")
    dense, sparse = moe.first_dense(num_layers, config.count("num_dense_layers", minimum=0))
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=config.count("intermediate_size"),
        moe_intermediate_size=width,
        experts=config.expert_count("num_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=width * shared,
        qk_norm="head",
        norms=("input_layernorm", "post_attention_layernorm", "pre_mlp_layernorm", "post_mlp_layernorm"),
        gate="router.gate",
    )  # fmt: skip
    period = config.count("global_attn_every_n_layers", default=4)
    types = config.layer_types(
        num_layers, moe.every_nth(num_layers, period, regular="sliding_attention", nth="full_attention")
    )
    moe.known_types(config, types, ("sliding_attention", "full_attention"))
    layer = "model.layers.{layer}"
    return gqa_moe.decoder(
        config, design, family="afmoe", dense=dense, sparse=sparse,
        sliding=moe.where_layer(types, "sliding_attention"), window_tokens=config.count("sliding_window"),
        shared_experts=shared,
        more=[
            *blocks.linear(
                f"{layer}.self_attn.gate_proj", heads * head_dim, hidden, Role.ATTENTION, tuple(range(num_layers)),
                split=Split.COLUMN, segments=blocks.heads(heads, head_dim),
            ),
            moe.score_correction(f"{layer}.mlp.expert_bias", (design.experts,), sparse, buffer=False),
        ],
    )  # fmt: skip
