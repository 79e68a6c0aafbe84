"""Kimi Linear and Kimi K3: three layers of Kimi delta attention to one of latent attention, without rotary positions.

K3 adds gates, experts in a narrower latent, attention over the residuals of earlier blocks, and a vision tower. Names:
transformers `models/kimi_linear`; K3 as in its checkpoint `moonshotai/Kimi-K3`, for which transformers has no class.
"""

from collections.abc import Iterable
from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._kda import Kda, kda, kda_cache
from moesize.model.architectures._moe import first_dense, known_types, mixture, where_layer
from moesize.model.architectures.deepseek import latent_attention
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, CacheKind, Kind, ModelSpec, Role, Split, Tensor

FULL, LINEAR = "full_attention", "linear_attention"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `kimi_linear` or `kimi_k3` configuration."""
    text = config.maybe_sub("text_config")
    if text is None:
        return _decoder(config, "kimi_linear", "")
    spec = _decoder(text, config.text("model_type"), "language_model.")
    vision = config.maybe_sub("vision_config")
    tower = _vision(vision, text.count("hidden_size")) if vision else []
    return replace(spec, source=config.where, tensors=(*spec.tensors, *tower))


def _decoder(config: Fields, family: str, prefix: str) -> ModelSpec:
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    types = layer_types(config, num_layers)
    full, linear = where_layer(types, FULL), where_layer(types, LINEAR)
    dims = _kda_of(config)
    heads, rope = config.count("num_attention_heads"), config.count("qk_rope_head_dim")
    qk_dim, v_dim = config.count("qk_nope_head_dim") + rope, config.count("v_head_dim")
    name = f"{prefix}model.layers.{{layer}}"
    attention = f"{name}.self_attn"
    rotary = not config.flag("mla_use_nope", default=True)
    return blocks.assemble(
        config,
        family=family,
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *_ends(config, prefix, hidden),
            *blocks.norm(f"{name}.input_layernorm", hidden, layers),
            *blocks.norm(f"{name}.post_attention_layernorm", hidden, layers),
            *latent_attention(config, attention, hidden, full),
            *(_output_gate(attention, full, hidden, heads, v_dim) if _gated(config) else ()),
            *kda(attention, linear, dims, hidden_size=hidden, decay_shape=_decay_shape(family, dims)),
            *_feed_forward(config, name, hidden, num_layers),
            *_residual_attention(config, prefix, name, hidden, layers),
        ],
        caches=[
            *([Cache(CacheKind.LATENT, full, 1, config.count("kv_lora_rank") + rope, rope_dim=rope)] if full else []),
            *kda_cache(linear, dims),
        ],
        attentions=[Attention(full, heads, qk_dim, v_dim)] if full else [],
        ropes=blocks.rope_of(config, rope) if rotary else (),
        shared_experts=config.count("n_shared_experts", "num_shared_experts"),
        context_length=config.maybe_count("max_position_embeddings", "model_max_length"),
    )  # fmt: skip


def layer_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    """`layer_types`, or the two lists of `linear_attn_config`, which count from 1.

    Raises:
        InputError: a layer that is in none or in both of the lists.
    """
    if config.has("layer_types"):
        types = config.layer_types(num_layers, ())
        known_types(config, types, (FULL, LINEAR))
        return types
    lists = config.sub("linear_attn_config")
    full, linear = lists.counts("full_attn_layers", minimum=1), lists.counts("kda_layers", minimum=1)
    if sorted((*full, *linear)) != list(range(1, num_layers + 1)):
        raise InputError(
            f"{lists.where}: full_attn_layers and kda_layers must name each of the layers 1 to {num_layers} once"
        )
    return tuple(FULL if i + 1 in full else LINEAR for i in range(num_layers))


def _kda_of(config: Fields) -> Kda:
    nested = config.maybe_sub("linear_attn_config")
    if nested is None:
        heads, head_dim = config.count("linear_num_heads"), config.count("linear_head_dim")
        return Kda(heads, head_dim, config.count("linear_conv_kernel_dim"))
    return Kda(
        heads=nested.count("num_heads"),
        head_dim=nested.count("head_dim"),
        kernel=nested.count("short_conv_kernel_size"),
        low_rank_gate=not nested.flag("use_full_rank_gate", default=False),
    )


def _decay_shape(family: str, dims: Kda) -> tuple[int, ...]:
    """K3 stores 128 decays for its 96 heads; engines take those of their heads."""
    return (dims.head_dim,) if family == "kimi_k3" else (1, 1, dims.heads, 1)


def _gated(config: Fields) -> bool:
    return config.flag("mla_use_output_gate", default=False)


def _output_gate(prefix: str, layers: tuple[int, ...], hidden: int, heads: int, v_dim: int) -> list[Tensor]:
    whole = blocks.heads(heads, v_dim)
    return blocks.linear(
        f"{prefix}.g_proj", heads * v_dim, hidden, Role.ATTENTION, layers, split=Split.COLUMN, segments=whole
    )  # fmt: skip


def _ends(config: Fields, prefix: str, hidden: int) -> list[Tensor]:
    return [
        replace(tensor, name=prefix + tensor.name, tied_to=prefix + tensor.tied_to if tensor.tied_to else None)
        for tensor in blocks.ends(config, hidden_size=hidden)
    ]


def _feed_forward(config: Fields, name: str, hidden: int, num_layers: int) -> list[Tensor]:
    """Dense MLPs in the first layers, then mixtures; experts in the residual width or in a narrower latent."""
    dense, sparse = _mlp_layers(config, num_layers)
    inner = config.count("moe_intermediate_size")
    latent = config.maybe_count("routed_expert_hidden_size")
    shared = inner * config.count("n_shared_experts", "num_shared_experts")
    experts = config.expert_count("num_experts", "num_local_experts")
    moe = f"{name}.block_sparse_moe"
    tensors = mixture(
        moe, sparse,
        hidden_size=latent or hidden, intermediate_size=inner, experts=experts,
        per_token=config.expert_count("num_experts_per_token", "num_experts_per_tok"),
        correction="gate.e_score_correction_bias", names=("w1", "w3", "w2"),
    )  # fmt: skip
    if latent:
        # The router reads the residual stream, the experts the latent between these two whole matrices.
        tensors = [replace(t, shape=(experts, hidden)) if t.name == f"{moe}.gate.weight" else t for t in tensors]
        tensors += blocks.linear(f"{moe}.routed_expert_down_proj", latent, hidden, Role.MLP, sparse)
        tensors += blocks.linear(f"{moe}.routed_expert_up_proj", hidden, latent, Role.MLP, sparse)
        if config.flag("latent_moe_use_norm", default=False):
            tensors += blocks.norm(f"{moe}.routed_expert_norm", latent, sparse)
    tensors += blocks.glu_mlp(
        f"{moe}.shared_experts", sparse, hidden_size=hidden, intermediate_size=shared, role=Role.SHARED_EXPERT
    )  # fmt: skip
    if dense:
        width = config.count("intermediate_size")
        tensors += blocks.glu_mlp(f"{name}.mlp", dense, hidden_size=hidden, intermediate_size=width)
    return tensors


def _mlp_layers(config: Fields, num_layers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not config.has("mlp_layer_types"):
        return first_dense(num_layers, config.count("first_k_dense_replace", minimum=0))
    types = config.layer_types(num_layers, (), key="mlp_layer_types")
    known_types(config, types, ("dense", "sparse"), "mlp_layer_types")
    return where_layer(types, "dense"), where_layer(types, "sparse")


def _residual_attention(config: Fields, prefix: str, name: str, hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    """A query and a norm per module, and at the end, that weigh the residuals of earlier blocks of layers."""
    if not config.has("attn_res_block_size"):
        return []
    places: Iterable[tuple[str, tuple[int, ...] | None]] = (
        (f"{name}.self_attention_res", layers),
        (f"{name}.mlp_res", layers),
        (f"{prefix}model.output_attn_res", None),
    )
    return [
        tensor
        for place, where in places
        for tensor in (
            Tensor(f"{place}_proj.weight", (1, hidden), Role.OTHER, Kind.VECTOR, where),
            *blocks.norm(f"{place}_norm", hidden, where),
        )
    ]


def _vision(config: Fields, text_size: int) -> list[Tensor]:
    """The tower, whose attention is wider than its stream, and its projector; nothing has a bias.

    Whole on every rank: its 12 heads do not divide over the 8 or 16 GPUs it is served on.
    """
    role = Role.VISION
    width, depth = config.count("vt_hidden_size"), config.layer_count("vt_num_hidden_layers")
    inner, attention = config.count("vt_intermediate_size"), config.count("qkv_hidden_size")
    patch = config.count("patch_size")
    rows, columns = config.count("init_pos_emb_height"), config.count("init_pos_emb_width")
    merge = config.counts("merge_kernel_size", default=(2, 2), minimum=1, length=2)
    merged = config.count("mm_hidden_size", default=width) * merge[0] * merge[-1]
    layers, tower = tuple(range(depth)), "vision_tower"
    block = f"{tower}.encoder.blocks.{{layer}}"
    return [
        Tensor(f"{tower}.patch_embed.proj.weight", (width, 3, patch, patch), role, Kind.CONV),
        Tensor(f"{tower}.patch_embed.pos_emb.weight", (rows, columns, width), role, Kind.PARAMETER),
        *(blocks.vector(f"{block}.{part}.weight", width, role, layers) for part in ("norm0", "norm1")),
        *blocks.linear(f"{block}.wqkv", 3 * attention, width, role, layers),
        *blocks.linear(f"{block}.wo", width, attention, role, layers),
        *blocks.linear(f"{block}.mlp.fc0", inner, width, role, layers),
        *blocks.linear(f"{block}.mlp.fc1", width, inner, role, layers),
        blocks.vector(f"{tower}.encoder.final_layernorm.weight", width, role, None),
        *blocks.linear("mm_projector.proj.0", merged, merged, role, None),
        *blocks.linear("mm_projector.proj.2", text_size, merged, role, None),
        blocks.vector("mm_projector.post_norm.weight", text_size, role, None),
    ]  # fmt: skip
