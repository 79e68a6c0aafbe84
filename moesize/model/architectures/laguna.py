"""Laguna: windowed layers with more query heads than full ones, gated attention, one shared expert.

Names: transformers `models/laguna` and its conversion from `poolside/Laguna-XS.2`.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, ModelSpec, Role, Rope, Split, Tensor

_SLIDING, _FULL = "sliding_attention", "full_attention"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `laguna` configuration."""
    moe.refuse(config, "attention_bias")
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    kinds = config.layer_types(num_layers, ("dense", *("sparse",) * (num_layers - 1)), "mlp_layer_types")
    moe.known_types(config, kinds, ("dense", "sparse"), "mlp_layer_types")
    dense, sparse = moe.where_layer(kinds, "dense"), moe.where_layer(kinds, "sparse")
    every = tuple(range(num_layers))
    layer = "model.layers.{layer}"
    tensors, caches, products, ropes = _attention(config, hidden, num_layers)
    experts = config.expert_count("num_experts")
    tensors += [
        *blocks.ends(config, hidden_size=hidden),
        *blocks.norm(f"{layer}.input_layernorm", hidden, every),
        *blocks.norm(f"{layer}.post_attention_layernorm", hidden, every),
        *moe.mixture(
            f"{layer}.mlp", sparse,
            hidden_size=hidden, intermediate_size=config.count("moe_intermediate_size"),
            experts=experts, per_token=config.expert_count("num_experts_per_tok"),
            shared_intermediate_size=config.count("shared_expert_intermediate_size"), shared="shared_expert",
        ),
        moe.score_correction(f"{layer}.mlp.experts.e_score_correction_bias", (experts,), sparse, buffer=False),
    ]  # fmt: skip
    if dense:
        inner = config.count("intermediate_size")
        tensors += blocks.glu_mlp(f"{layer}.mlp", dense, hidden_size=hidden, intermediate_size=inner)
    return blocks.assemble(
        config, family="laguna", num_layers=num_layers, hidden_size=hidden,
        tensors=tensors, caches=caches, attentions=products, ropes=ropes, shared_experts=1,
    )  # fmt: skip


def _attention(
    config: Fields, hidden_size: int, num_layers: int
) -> tuple[list[Tensor], list[Cache], list[Attention], list[Rope]]:
    """Attention by the number of query heads and by what a layer sees."""
    types = config.layer_types(num_layers, (_FULL,) * num_layers)
    moe.known_types(config, types, (_SLIDING, _FULL))
    usual = config.count("num_attention_heads")
    counts = config.counts("num_attention_heads_per_layer", default=(usual,) * num_layers, minimum=1)
    if len(counts) != num_layers:
        raise InputError(
            f"{config.where}: num_attention_heads_per_layer names {len(counts)} layers, but the model has {num_layers}"
        )
    kv_heads, head_dim = config.count("num_key_value_heads"), config.count("head_dim")
    prefix = "model.layers.{layer}.self_attn"
    tensors = moe.head_norms(prefix, tuple(range(num_layers)), head_dim)
    caches: list[Cache] = []
    products: list[Attention] = []
    ropes: list[Rope] = []
    for heads in sorted(set(counts)):
        layers = tuple(i for i, count in enumerate(counts) if count == heads)
        tensors += [
            *blocks.gqa(
                prefix, layers,
                hidden_size=hidden_size, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *_gate(config, prefix, layers, hidden_size, heads, head_dim),
        ]  # fmt: skip
    for kind in (_FULL, _SLIDING):
        layers = moe.where_layer(types, kind)
        if not layers:
            continue
        window = config.count("sliding_window") if kind == _SLIDING else None
        caches += blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim, window_tokens=window)
        ropes += _rope(config, kind, head_dim)
        for heads in sorted({counts[i] for i in layers}):
            users = tuple(i for i in layers if counts[i] == heads)
            products += blocks.attention_products(users, num_heads=heads, head_dim=head_dim, window_tokens=window)
    return tensors, caches, products, ropes


def _gate(
    config: Fields, prefix: str, layers: tuple[int, ...], hidden_size: int, heads: int, head_dim: int
) -> list[Tensor]:
    """One gate per head, or one per element of a head."""
    per_element = config.values.get("gating") == "per-element"
    rows = heads * head_dim if per_element else heads
    return blocks.linear(
        f"{prefix}.g_proj", rows, hidden_size, Role.ATTENTION, layers,
        split=Split.COLUMN, segments=blocks.heads(heads, rows // heads),
    )  # fmt: skip


def _rope(config: Fields, kind: str, head_dim: int) -> tuple[Rope, ...]:
    """The table of one kind of layer: each has scaling and rotated part of its own."""
    all_kinds = config.maybe_sub("rope_parameters")
    own = all_kinds.maybe_sub(kind) if all_kinds else None
    if own is None:
        return blocks.rope_of(config, head_dim)
    one = Fields({**config.values, "rope_scaling": None, "rope_parameters": own.values}, config.where)
    return blocks.rope_of(one, int(head_dim * own.number("partial_rotary_factor", default=1.0)))
