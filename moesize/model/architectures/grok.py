"""Grok-1 and Grok-2: four norms per layer; Grok-2 adds a dense MLP beside the experts (`residual_moe`).

Names: checkpoint `xai-org/grok-2` as SGLang's `models/grok.py` loads it. Grok-1 was released in JAX and its conversions
rename freely, so the same names stand for it. Grok-2's configuration calls itself `git`.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._moe import mixture
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `grok-1` or `git` configuration.

    Raises:
        InputError: a `git` configuration that is not Grok's (Microsoft's GIT captioner has the same model_type).
    """
    if config.text("model_type") == "git" and not any("Grok" in a for a in config.texts("architectures", default=())):
        raise InputError(
            f"{config.where}: model_type git is read as Grok-2 only, whose architecture is Grok1ForCausalLM"
        )
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads")
    head_dim = blocks.head_dim_of(config, hidden, heads)
    inner = config.count("intermediate_size")
    name = "model.layers.{layer}"
    residual = config.flag("residual_moe", default=False)
    return blocks.assemble(
        config,
        family="grok",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.gqa(
                f"{name}.self_attn", layers,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *(
                norm
                for place in ("pre_attn_norm", "post_attn_norm", "pre_moe_norm", "post_moe_norm")
                for norm in blocks.norm(f"{name}.{place}", hidden, layers)
            ),
            *mixture(
                f"{name}.block_sparse_moe", layers,
                hidden_size=hidden, intermediate_size=config.count("moe_intermediate_size", default=inner),
                experts=config.expert_count("num_local_experts", "num_experts"),
                per_token=config.expert_count("num_experts_per_tok"), names=("w1", "w3", "w2"),
            ),
            *(
                blocks.glu_mlp(f"{name}.mlp", layers, hidden_size=hidden, intermediate_size=inner)
                if residual else ()
            ),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
    )  # fmt: skip
