"""Gemma 4: windowed layers beside full ones with wider heads, optional mixtures, per-layer embeddings, shared keys.

Names: transformers `models/gemma4`, checkpoints `google/gemma-4-26B-A4B` and its siblings. The last
`num_kv_shared_layers` layers read the keys and values of the last layer of their kind before them; checkpoints store
projections for them that nothing loads.
"""

from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gemma4_towers as towers
from moesize.model.architectures import _moe as moe
from moesize.model.architectures._gqa_moe import ends
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, Kind, ModelSpec, Role, Rope, Split, Tensor

_SLIDING, _FULL = "sliding_attention", "full_attention"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gemma4` (with towers) or `gemma4_text` configuration."""
    nested = config.maybe_sub("text_config")
    if nested is None:
        return _decoder(config, "model.")
    values = {"dtype": config.values.get("dtype"), **nested.values}
    text = Fields(values, nested.where)
    spec = _decoder(text, "model.language_model.")
    hidden = text.count("hidden_size")
    tensors = list(spec.tensors)
    if vision := config.maybe_sub("vision_config"):
        tensors += towers.vision(vision, hidden)
    if audio := config.maybe_sub("audio_config"):
        tensors += towers.audio(audio, hidden)
    return replace(spec, source=config.where, tensors=tuple(tensors))


def _decoder(config: Fields, prefix: str) -> ModelSpec:
    moe.refuse(config, "attention_bias")
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    types = config.layer_types(num_layers, moe.every_nth(num_layers, 6, regular=_SLIDING, nth=_FULL))
    moe.known_types(config, types, (_SLIDING, _FULL))
    types = (*types[:-1], _FULL)  # the class makes the last layer a full one whatever the list says
    shared = config.count("num_kv_shared_layers", default=0, minimum=0)
    if shared >= num_layers:
        raise InputError(f"{config.where}: num_kv_shared_layers is {shared}, but the model has {num_layers} layers")
    layer = f"{prefix}layers.{{layer}}"
    tensors, caches, attentions, ropes = _attention(config, layer, types, num_layers - shared)
    norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    every = tuple(range(num_layers))
    return blocks.assemble(
        config,
        family="gemma4",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *ends(config, hidden, prefix=prefix, tied_by_default=True),
            *tensors,
            *(t for name in norms for t in blocks.norm(f"{layer}.{name}", hidden, every)),
            replace(blocks.vector(f"{layer}.layer_scalar", 1, Role.NORM, every), buffer=True),
            *_mlps(config, layer, hidden, num_layers, shared),
            *_per_layer_inputs(config, prefix, hidden, every),
            *(_mixture(config, layer, hidden, every) if config.flag("enable_moe_block", default=False) else ()),
        ],
        caches=caches,
        attentions=attentions,
        ropes=ropes,
    )


def _attention(
    config: Fields, layer: str, types: tuple[str, ...], num_owners: int
) -> tuple[list[Tensor], list[Cache], list[Attention], list[Rope]]:
    """Attention of both kinds of layer; those from `num_owners` on keep no keys and values."""
    tensors: list[Tensor] = []
    caches: list[Cache] = []
    attentions: list[Attention] = []
    ropes: list[Rope] = []
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    positions = config.count("max_position_embeddings")
    for kind in (_SLIDING, _FULL):
        layers = moe.where_layer(types, kind)
        if not layers:
            continue
        owners = tuple(i for i in layers if i < num_owners)
        readers = tuple(i for i in layers if i >= num_owners)
        if not owners:
            raise InputError(f"{config.where}: every {kind} layer shares keys, so none computes them")
        full = kind == _FULL
        head_dim = config.count("global_head_dim", default=512) if full else config.count("head_dim")
        one_matrix = full and config.flag("attention_k_eq_v", default=False)
        kv_heads = config.count("num_key_value_heads")
        if one_matrix:
            kv_heads = config.count("num_global_key_value_heads", default=kv_heads)
        window = None if full else config.count("sliding_window")
        sizes = {"num_heads": heads, "num_kv_heads": kv_heads, "head_dim": head_dim}
        tensors += _matrices(f"{layer}.self_attn", owners, readers, hidden, one_matrix=one_matrix, **sizes)
        caches += blocks.kv_cache(owners, num_kv_heads=kv_heads, head_dim=head_dim, window_tokens=window)
        attentions += blocks.attention_products(layers, num_heads=heads, head_dim=head_dim, window_tokens=window)
        # The full layers rotate a quarter of the head, but the table spans all of it.
        ropes.append(Rope(head_dim, positions))
    return tensors, caches, attentions, ropes


def _matrices(
    prefix: str,
    owners: tuple[int, ...],
    readers: tuple[int, ...],
    hidden_size: int,
    *,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    one_matrix: bool,
) -> list[Tensor]:
    """Projections and norms; with `one_matrix` values are the keys' projection, so `v_proj` is not there."""

    def four(layers: tuple[int, ...]) -> list[Tensor]:
        matrices = blocks.gqa(
            prefix, layers, hidden_size=hidden_size, num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim
        )
        kept = [t for t in matrices if not (one_matrix and t.name.endswith("v_proj.weight"))]
        return [*kept, *moe.head_norms(prefix, layers, head_dim)]

    if not readers:
        return four(owners)
    unused = ("k_proj.weight", "v_proj.weight", "k_norm.weight")
    return [*four(owners), *(replace(t, loaded=not t.name.endswith(unused)) for t in four(readers))]


def _mlps(config: Fields, layer: str, hidden_size: int, num_layers: int, shared: int) -> list[Tensor]:
    """The dense MLP of every layer, twice as wide in layers without keys where the file says so."""
    width = config.count("intermediate_size")
    wide = shared if config.flag("use_double_wide_mlp", default=False) else 0
    narrow, doubled = tuple(range(num_layers - wide)), tuple(range(num_layers - wide, num_layers))
    mlp = f"{layer}.mlp"
    return [
        *blocks.glu_mlp(mlp, narrow, hidden_size=hidden_size, intermediate_size=width),
        *blocks.glu_mlp(mlp, doubled, hidden_size=hidden_size, intermediate_size=2 * width),
    ]


def _per_layer_inputs(config: Fields, prefix: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    """A second embedding with a slice for every layer, and what mixes it in; none where its width is 0."""
    width = config.count("hidden_size_per_layer_input", minimum=0)
    if not width:
        return []
    rows, packed = config.count("vocab_size_per_layer_input"), width * len(layers)
    layer = f"{prefix}layers.{{layer}}"
    return [
        blocks.embedding(f"{prefix}embed_tokens_per_layer.weight", rows, packed),
        *blocks.linear(
            f"{prefix}per_layer_model_projection", packed, hidden_size, Role.OTHER, None, split=Split.COLUMN
        ),
        *blocks.norm(f"{prefix}per_layer_projection_norm", width, None),
        *blocks.linear(f"{layer}.per_layer_input_gate", width, hidden_size, Role.OTHER, layers),
        *blocks.linear(f"{layer}.per_layer_projection", hidden_size, width, Role.OTHER, layers),
        *blocks.norm(f"{layer}.post_per_layer_input_norm", hidden_size, layers),
    ]


def _mixture(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Routed experts beside the dense MLP, stored as two arrays."""
    experts, per_token = config.expert_count("num_experts"), config.expert_count("top_k_experts")
    width = config.count("moe_intermediate_size")
    extra = ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2", "pre_feedforward_layernorm_2")
    up, down = f"{layer}.experts.gate_up_proj", f"{layer}.experts.down_proj"
    return [
        *blocks.router(f"{layer}.router.proj", experts, hidden_size, layers),
        Tensor(f"{layer}.router.scale", (hidden_size,), Role.ROUTER, Kind.VECTOR, layers),
        Tensor(f"{layer}.router.per_expert_scale", (experts,), Role.ROUTER, Kind.VECTOR, layers),
        blocks.expert_matrix(up, 2 * width, hidden_size, layers, experts, per_token, Split.COLUMN),
        blocks.expert_matrix(down, hidden_size, width, layers, experts, per_token, Split.ROW),
        *(t for name in extra for t in blocks.norm(f"{layer}.{name}", hidden_size, layers)),
    ]
