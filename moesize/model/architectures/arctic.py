"""Snowflake Arctic: a dense MLP as wide as the model beside 128 experts in every layer.

No class of transformers reads it; names as in vLLM `models/arctic.py`, total equal to the Hub's.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._gqa_moe import attention_heads
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `arctic` configuration with a mixture and a dense MLP in every layer.

    Raises:
        InputError: a configuration that mixes layers with and without experts, or has no dense MLP.
    """
    if config.count("moe_layer_frequency") != 1 or not config.flag("parallel_attn_mlp_res", default=True):
        raise InputError(f"{config.where}: only mixtures in every layer beside a dense MLP are known of this family")
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = attention_heads(config, hidden)
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    experts, names = config.expert_count("num_local_experts"), ("w1", "w3", "w2")
    layer = "model.layers.{layer}"
    return blocks.assemble(
        config,
        family="arctic",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm(f"{layer}.input_layernorm", hidden, layers),
            *blocks.norm(f"{layer}.residual_layernorm", hidden, layers),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, layers),
            *blocks.gqa(
                f"{layer}.self_attn", layers,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *blocks.glu_mlp(
                f"{layer}.residual_mlp", layers, hidden_size=hidden, intermediate_size=hidden, names=names
            ),
            *blocks.router(f"{layer}.block_sparse_moe.gate", experts, hidden, layers),
            *blocks.glu_experts(
                f"{layer}.block_sparse_moe.experts", layers,
                hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
                experts=experts, per_token=config.expert_count("num_experts_per_tok"), names=names,
            ),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
    )  # fmt: skip
