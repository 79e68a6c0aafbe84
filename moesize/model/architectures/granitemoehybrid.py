"""Granite 4: Mamba-2 or attention, then a mixture of experts beside a shared MLP (dense models: that MLP alone).

Names: transformers `models/granitemoehybrid`; the checkpoints stack the experts and fuse gate and up projections.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._mamba import Mamba2, check_width, mamba2, mamba2_cache
from moesize.model.architectures._moe import known_types, where_layer
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Segment, Split, Tensor

LAYER = "model.layers.{layer}"
#: The names transformers 5 writes into `layer_types`.
RENAMED = {"linear_attention": "mamba", "full_attention": "attention"}


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `granitemoehybrid` configuration."""
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    types = _layer_types(config, num_layers)
    mamba, attention = where_layer(types, "mamba"), where_layer(types, "attention")
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = hidden // heads
    experts = config.expert_count("num_local_experts", default=0, minimum=0)
    dims = _mamba_of(config, hidden) if mamba else None
    bias = config.flag("attention_bias", default=False)
    rotary = config.text("position_embedding_type", default="nope") == "rope"
    return blocks.assemble(
        config,
        family="granitemoehybrid",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm(f"{LAYER}.input_layernorm", hidden, layers),
            *blocks.norm(f"{LAYER}.post_attention_layernorm", hidden, layers),
            *blocks.gqa(
                f"{LAYER}.self_attn", attention,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
                qkv_bias=bias, out_bias=bias,
            ),
            *(mamba2(f"{LAYER}.mamba", mamba, dims, hidden_size=hidden) if dims else ()),
            *_shared_mlp(config, hidden, layers, Role.SHARED_EXPERT if experts else Role.MLP),
            *(_mixture(config, hidden, experts, layers) if experts else ()),
        ],
        caches=[
            *blocks.kv_cache(attention, num_kv_heads=kv_heads, head_dim=head_dim),
            # transformers keeps the recurrence in float32; the configuration is silent about it.
            *(mamba2_cache(mamba, dims, dtype="float32") if dims else ()),
        ],
        attentions=blocks.attention_products(attention, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim) if rotary and attention else (),
        shared_experts=1 if experts else 0,
    )  # fmt: skip


def _layer_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    key = "layers_block_type" if config.has("layers_block_type") else "layer_types"
    words = config.layer_types(num_layers, ("mamba",) * num_layers, key)
    types = tuple(RENAMED.get(word, word) for word in words)
    known_types(config, types, ("mamba", "attention"), key)
    return types


def _mamba_of(config: Fields, hidden: int) -> Mamba2:
    heads, expand = config.count("mamba_n_heads"), config.count("mamba_expand", default=2)
    auto = config.values.get("mamba_d_head") in ("auto", None)
    if auto and hidden * expand % heads:
        raise InputError(f"{config.where}: {heads} mamba_n_heads do not divide {expand} times the hidden_size {hidden}")
    dims = Mamba2(
        heads=heads,
        head_dim=hidden * expand // heads if auto else config.count("mamba_d_head"),
        groups=config.count("mamba_n_groups", default=1),
        state=config.count("mamba_d_state"),
        kernel=config.count("mamba_d_conv", default=4),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        bias=config.flag("mamba_proj_bias", default=False),
    )
    check_width(config, dims, hidden, expand)
    return dims


def _shared_mlp(config: Fields, hidden: int, layers: tuple[int, ...], role: Role) -> list[Tensor]:
    """The MLP of every token: gate and up projection in one matrix."""
    inner = config.count("shared_intermediate_size")
    both, column = (Segment(inner, inner), Segment(inner, inner)), Split.COLUMN
    mlp = f"{LAYER}.shared_mlp"
    return [
        *blocks.linear(f"{mlp}.input_linear", 2 * inner, hidden, role, layers, split=column, segments=both),
        *blocks.linear(f"{mlp}.output_linear", hidden, inner, role, layers, split=Split.ROW),
    ]


def _mixture(config: Fields, hidden: int, experts: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Router and stacked experts."""
    inner, per_token = config.count("intermediate_size"), config.expert_count("num_experts_per_tok")
    moe = f"{LAYER}.block_sparse_moe"
    both = (Segment(inner, inner), Segment(inner, inner))
    down = f"{moe}.output_linear.weight"
    return [
        *blocks.router(f"{moe}.router.layer", experts, hidden, layers),
        Tensor(
            f"{moe}.input_linear.weight", (2 * inner, hidden), Role.ROUTED_EXPERT, Kind.LINEAR, layers,
            experts=experts, active_experts=per_token, split=Split.COLUMN, segments=both,
        ),
        blocks.expert_matrix(down, hidden, inner, layers, experts, per_token, Split.ROW),
    ]  # fmt: skip
