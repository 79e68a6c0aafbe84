"""Bamba and Falcon-H1: Mamba-2 and attention with a gated MLP, in turns (Bamba) or side by side in every layer.

Names: transformers `models/bamba`, `models/falcon_h1`.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._mamba import Mamba2, mamba2, mamba2_cache
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

LAYER = "model.layers.{layer}"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `bamba` or `falcon_h1` configuration."""
    family = config.text("model_type")
    side_by_side = family == "falcon_h1"
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    attention = layers if side_by_side else _attention_layers(config, len(layers))
    mamba = layers if side_by_side else tuple(i for i in layers if i not in attention)
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = blocks.head_dim_of(config, hidden, heads)
    bias = config.flag("attention_bias", default=False)
    dims = _mamba_of(config, hidden)
    return blocks.assemble(
        config,
        family=family,
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden, final_norm="final_layernorm"),
            *blocks.norm(f"{LAYER}.input_layernorm", hidden, layers),
            *blocks.norm(f"{LAYER}.pre_ff_layernorm", hidden, layers),
            *blocks.gqa(
                f"{LAYER}.self_attn", attention,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
                qkv_bias=bias, out_bias=bias,
            ),
            *mamba2(
                f"{LAYER}.mamba", mamba, dims,
                hidden_size=hidden, gated_norm=not side_by_side or config.flag("mamba_rms_norm", default=False),
            ),
            *blocks.glu_mlp(
                f"{LAYER}.feed_forward", layers,
                hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
                bias=config.flag("mlp_bias", default=False),
            ),
        ],
        caches=[
            *blocks.kv_cache(attention, num_kv_heads=kv_heads, head_dim=head_dim),
            # transformers keeps the recurrence in float32; the configuration is silent about it.
            *mamba2_cache(mamba, dims, dtype="float32"),
        ],
        attentions=blocks.attention_products(attention, num_heads=heads, head_dim=head_dim),
        # Bamba rotates half of each head.
        ropes=blocks.rope_of(config, head_dim if side_by_side else head_dim // 2),
    )  # fmt: skip


def _attention_layers(config: Fields, num_layers: int) -> tuple[int, ...]:
    layers = config.counts("attn_layer_indices", default=())
    if any(layer >= num_layers for layer in layers):
        raise InputError(f"{config.where}: attn_layer_indices must name layers below {num_layers}")
    return tuple(sorted(set(layers)))


def _mamba_of(config: Fields, hidden: int) -> Mamba2:
    heads = config.count("mamba_n_heads")
    width = config.count("mamba_d_ssm", default=hidden * config.count("mamba_expand", default=2))
    stated = None if config.values.get("mamba_d_head") in ("auto", None) else config.count("mamba_d_head")
    head_dim = stated or width // heads
    if heads * head_dim != width:
        raise InputError(f"{config.where}: {heads} Mamba heads of {head_dim} do not fill a width of {width}")
    return Mamba2(
        heads=heads,
        head_dim=head_dim,
        groups=config.count("mamba_n_groups", default=1),
        state=config.count("mamba_d_state"),
        kernel=config.count("mamba_d_conv", default=4),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        bias=config.flag("mamba_proj_bias", default=False),
    )
