"""Jamba: seven Mamba-1 layers to one of attention, every second MLP a mixture of experts.

Names: transformers `models/jamba`, checkpoint `ai21labs/Jamba-v0.1`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._mamba import Mamba1, dt_rank_of, mamba1, mamba1_cache
from moesize.model.architectures._moe import mixture
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

LAYER = "model.layers.{layer}"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `jamba` configuration."""
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    attention = _every(config, num_layers, "attn_layer", 8, 4)
    experts = config.expert_count("num_experts", default=16)
    sparse = _every(config, num_layers, "expert_layer", 2, 1) if experts > 1 else ()
    dense, mamba = (tuple(i for i in layers if i not in others) for others in (sparse, attention))
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=8)
    head_dim, inner = hidden // heads, config.count("intermediate_size")
    dims = Mamba1(
        inner=hidden * config.count("mamba_expand", default=2),
        state=config.count("mamba_d_state", default=16),
        kernel=config.count("mamba_d_conv", default=4),
        dt_rank=dt_rank_of(config, hidden, "mamba_dt_rank"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        bias=config.flag("mamba_proj_bias", default=False),
    )
    return blocks.assemble(
        config,
        family="jamba",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden, final_norm="final_layernorm"),
            *blocks.norm(f"{LAYER}.input_layernorm", hidden, layers),
            *blocks.norm(f"{LAYER}.pre_ff_layernorm", hidden, layers),
            *blocks.gqa(
                f"{LAYER}.self_attn", attention,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *mamba1(
                f"{LAYER}.mamba", mamba, dims,
                hidden_size=hidden, norms=("dt_layernorm", "b_layernorm", "c_layernorm"),
            ),
            *blocks.glu_mlp(f"{LAYER}.feed_forward", dense, hidden_size=hidden, intermediate_size=inner),
            *mixture(
                f"{LAYER}.feed_forward", sparse,
                hidden_size=hidden, intermediate_size=inner, gate="router",
                experts=experts, per_token=min(experts, config.expert_count("num_experts_per_tok", default=2)),
            ),
        ],
        caches=[
            *blocks.kv_cache(attention, num_kv_heads=kv_heads, head_dim=head_dim),
            # transformers keeps the recurrence in float32; the configuration is silent about it.
            *mamba1_cache(mamba, dims, dtype="float32"),
        ],
        attentions=blocks.attention_products(attention, num_heads=heads, head_dim=head_dim),
    )  # fmt: skip


def _every(config: Fields, num_layers: int, what: str, period: int, offset: int) -> tuple[int, ...]:
    """The layers at `{what}_offset` of every `{what}_period`."""
    period = config.layer_count(f"{what}_period", default=period)
    offset = config.count(f"{what}_offset", default=offset, minimum=0)
    return tuple(i for i in range(num_layers) if i % period == offset)
