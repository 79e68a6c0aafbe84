"""Llama 3.2 Vision: a llama decoder in which every fifth layer attends to the image instead of the text.

Names: transformers `models/mllama`, checkpoint `meta-llama/Llama-3.2-11B-Vision`.
"""

from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._moe import head_norms
from moesize.model.fields import Fields
from moesize.model.spec import Cache, CacheKind, Kind, ModelSpec, Role, Split, Tensor

MODEL = "language_model.model"
LAYER = f"{MODEL}.layers.{{layer}}"
#: Rows of the input embedding beyond the vocabulary, for the image token.
EXTRA_ROWS = 8


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `mllama` configuration."""
    text, vision = config.sub("text_config"), config.sub("vision_config")
    hidden, vocab = text.count("hidden_size"), text.count("vocab_size")
    num_layers = text.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    cross = _cross_layers(text, num_layers)
    own = tuple(i for i in layers if i not in cross)
    heads, kv_heads = text.count("num_attention_heads"), text.count("num_key_value_heads")
    head_dim = blocks.head_dim_of(text, hidden, heads)
    spec = blocks.assemble(
        text,
        family="mllama",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            blocks.embedding(f"{MODEL}.embed_tokens.weight", vocab + EXTRA_ROWS, hidden),
            *blocks.norm(f"{MODEL}.norm", hidden, None),
            *blocks.lm_head("language_model.lm_head.weight", vocab, hidden),
            *blocks.norm(f"{LAYER}.input_layernorm", hidden, layers),
            *blocks.norm(f"{LAYER}.post_attention_layernorm", hidden, layers),
            *blocks.gqa(
                f"{LAYER}.self_attn", own,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *blocks.gqa(
                f"{LAYER}.cross_attn", cross,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *head_norms(f"{LAYER}.cross_attn", cross, head_dim),
            blocks.vector(f"{LAYER}.cross_attn_attn_gate", 1, Role.ATTENTION, cross),
            blocks.vector(f"{LAYER}.cross_attn_mlp_gate", 1, Role.MLP, cross),
            *blocks.glu_mlp(
                f"{LAYER}.mlp", layers, hidden_size=hidden, intermediate_size=text.count("intermediate_size")
            ),
            *_vision(vision),
            *blocks.linear(
                "multi_modal_projector", hidden, vision.count("vision_output_dim"), Role.VISION, None,
                split=Split.COLUMN, bias=True,
            ),
        ],
        caches=[
            *blocks.kv_cache(own, num_kv_heads=kv_heads, head_dim=head_dim),
            *([Cache(CacheKind.CROSS, cross, kv_heads, head_dim, head_dim)] if cross else []),
        ],
        attentions=blocks.attention_products(own, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(text, head_dim),
    )  # fmt: skip
    return replace(spec, source=config.where)


def _cross_layers(config: Fields, num_layers: int) -> tuple[int, ...]:
    cross = config.counts("cross_attention_layers")
    if len(set(cross)) != len(cross) or any(layer >= num_layers for layer in cross):
        raise InputError(f"{config.where}: cross_attention_layers must name layers below {num_layers}, each once")
    return tuple(sorted(cross))


def _vision(config: Fields) -> list[Tensor]:
    """The tower: 32 layers, then 8 with gates, over tiles whose positions and shapes are learned."""
    role, width = Role.VISION, config.count("hidden_size")
    patch, tiles = config.count("patch_size"), config.count("max_num_tiles")
    ratios = len(_ratios(config)) + 1
    positions = (config.count("image_size") // patch) ** 2 + 1
    model = "vision_model"
    learned = f"{model}.gated_positional_embedding"
    return [
        Tensor(
            f"{model}.patch_embedding.weight", (width, config.count("num_channels", default=3), patch, patch),
            role, Kind.CONV,
        ),
        blocks.vector(f"{model}.class_embedding", width, role, None),
        blocks.vector(f"{learned}.gate", 1, role, None),
        Tensor(f"{learned}.embedding", (positions, width), role, Kind.PARAMETER),
        Tensor(f"{learned}.tile_embedding.weight", (ratios, tiles * positions * width), role, Kind.EMBEDDING),
        *(
            tensor
            for place in ("pre", "post")
            for tensor in (
                Tensor(
                    f"{model}.{place}_tile_positional_embedding.embedding.weight", (ratios, tiles * width),
                    role, Kind.EMBEDDING,
                ),
                blocks.vector(f"{model}.{place}_tile_positional_embedding.gate", 1, role, None),
            )
        ),
        *(t for place in ("pre", "post") for t in _layer_norm(f"{model}.layernorm_{place}", width, None)),
        *_layers(config, f"{model}.transformer", config.layer_count("num_hidden_layers"), gated=False),
        *_layers(config, f"{model}.global_transformer", config.layer_count("num_global_layers"), gated=True),
    ]  # fmt: skip


def _layers(config: Fields, prefix: str, depth: int, *, gated: bool) -> list[Tensor]:
    role, width = Role.VISION, config.count("hidden_size")
    inner, heads = config.count("intermediate_size"), config.count("attention_heads")
    layers, name = tuple(range(depth)), f"{prefix}.layers.{{layer}}"
    attention = blocks.gqa(
        f"{name}.self_attn", layers,
        hidden_size=width, num_heads=heads, num_kv_heads=heads, head_dim=width // heads,
    )  # fmt: skip
    tensors = [
        *(replace(tensor, role=role) for tensor in attention),
        *_layer_norm(f"{name}.input_layernorm", width, layers),
        *_layer_norm(f"{name}.post_attention_layernorm", width, layers),
        *blocks.linear(f"{name}.mlp.fc1", inner, width, role, layers, split=Split.COLUMN, bias=True),
        *blocks.linear(f"{name}.mlp.fc2", width, inner, role, layers, split=Split.ROW, bias=True),
    ]
    if gated:
        tensors += [blocks.vector(f"{name}.{gate}", 1, role, layers) for gate in ("gate_attn", "gate_ffn")]
    return tensors


def _layer_norm(name: str, width: int, layers: tuple[int, ...] | None) -> list[Tensor]:
    return [blocks.vector(f"{name}.{part}", width, Role.VISION, layers) for part in ("weight", "bias")]


def _ratios(config: Fields) -> list[object]:
    ratios = config.values.get("supported_aspect_ratios")
    if not isinstance(ratios, list) or not ratios:
        raise InputError(f"{config.where}: supported_aspect_ratios must be a list of pairs")
    return ratios
