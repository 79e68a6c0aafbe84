"""Vision towers that several wrappers share (SigLIP, CLIP, Pixtral), and the language model under a wrapper's prefix.

Engines split a tower's attention and MLP over tensor-parallel ranks and copy its embeddings (vLLM `models/siglip.py`,
`models/clip.py`, `models/pixtral.py`).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from moesize.errors import UnknownNameError
from moesize.model import architectures
from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor


def language_model(config: Fields, text: Fields) -> ModelSpec:
    """The nested text configuration, by its own family."""
    return architectures.build(Fields(outer_values(config, text), text.where))


def outer_values(config: Fields, text: Fields) -> dict[str, Any]:
    """The text configuration's values; what only the outer file says of tying, and its dtype, taken from there."""
    values = dict(text.values)
    if values.get("tie_word_embeddings") is None and config.has("tie_word_embeddings"):
        values["tie_word_embeddings"] = config.flag("tie_word_embeddings", default=False)
    return values | {key: config.text(key) for key in ("torch_dtype", "dtype") if config.has(key)}


def wrapped(
    language: ModelSpec, family: str, towers: Iterable[Tensor], *, prefix: str = "language_model."
) -> ModelSpec:
    """`language` with its tensors under `prefix`, and the towers beside it."""
    inner = tuple(
        replace(t, name=prefix + t.name, tied_to=prefix + t.tied_to if t.tied_to else None) for t in language.tensors
    )
    return replace(language, architecture=family, tensors=(*inner, *towers))


def vision_tower(config: Fields, prefix: str) -> tuple[list[Tensor], int]:
    """The tensors of a tower under `prefix`, by the nested `model_type`, and the width of its output.

    Raises:
        UnknownNameError: a tower of another design.
    """
    builders: dict[str, Callable[[Fields, str], list[Tensor]]] = {
        "siglip_vision_model": siglip,
        "clip_vision_model": clip,
        "pixtral": pixtral,
    }
    kind = config.text("model_type")
    if kind not in builders:
        raise UnknownNameError("vision model_type", kind, builders, "its tower is not known here")
    return builders[kind](config, prefix), config.count("hidden_size")


def siglip(config: Fields, prefix: str) -> list[Tensor]:
    """SigLIP: patch and position embeddings, an encoder, a norm, a pooling head where the file asks for one."""
    hidden = config.count("hidden_size")
    patch = config.count("patch_size")
    positions = (config.count("image_size") // patch) ** 2
    tensors = [
        *patches(f"{prefix}.embeddings.patch_embedding", config, bias=True),
        vision_table(f"{prefix}.embeddings.position_embedding.weight", positions, hidden),
        *encoder(config, prefix),
        *as_vision(blocks.norm(f"{prefix}.post_layernorm", hidden, None, bias=True)),
    ]
    if config.flag("vision_use_head", default=True):
        head, inner = f"{prefix}.head", config.count("intermediate_size")
        tensors += [
            Tensor(f"{head}.probe", (1, 1, hidden), Role.VISION, Kind.PARAMETER),
            Tensor(f"{head}.attention.in_proj_weight", (3 * hidden, hidden), Role.VISION, Kind.PARAMETER),
            blocks.vector(f"{head}.attention.in_proj_bias", 3 * hidden, Role.VISION, None),
            *blocks.linear(f"{head}.attention.out_proj", hidden, hidden, Role.VISION, None, bias=True),
            *as_vision(blocks.norm(f"{head}.layernorm", hidden, None, bias=True)),
            *blocks.linear(f"{head}.mlp.fc1", inner, hidden, Role.VISION, None, bias=True),
            *blocks.linear(f"{head}.mlp.fc2", hidden, inner, Role.VISION, None, bias=True),
        ]
    return tensors


def clip(config: Fields, prefix: str) -> list[Tensor]:
    """CLIP's image encoder: a class token beside the patches, a norm before and after."""
    hidden = config.count("hidden_size")
    positions = (config.count("image_size") // config.count("patch_size")) ** 2 + 1
    return [
        blocks.vector(f"{prefix}.embeddings.class_embedding", hidden, Role.VISION, None),
        *patches(f"{prefix}.embeddings.patch_embedding", config, bias=False),
        vision_table(f"{prefix}.embeddings.position_embedding.weight", positions, hidden),
        *as_vision(blocks.norm(f"{prefix}.pre_layrnorm", hidden, None, bias=True)),
        *encoder(config, prefix),
        *as_vision(blocks.norm(f"{prefix}.post_layernorm", hidden, None, bias=True)),
    ]


def encoder(config: Fields, prefix: str) -> list[Tensor]:
    """The layers CLIP and SigLIP have in common."""
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    layer = f"{prefix}.encoder.layers.{{layer}}"
    return as_vision([
        *blocks.norm(f"{layer}.layer_norm1", hidden, layers, bias=True),
        *blocks.gqa(
            f"{layer}.self_attn", layers,
            hidden_size=hidden, num_heads=heads, num_kv_heads=heads, head_dim=hidden // heads,
            qkv_bias=True, out_bias=True, names=("q_proj", "k_proj", "v_proj", "out_proj"),
        ),
        *blocks.norm(f"{layer}.layer_norm2", hidden, layers, bias=True),
        *blocks.plain_mlp(
            f"{layer}.mlp", layers,
            hidden_size=hidden, intermediate_size=config.count("intermediate_size"), bias=True, names=("fc1", "fc2"),
        ),
    ])  # fmt: skip


def pixtral(config: Fields, prefix: str) -> list[Tensor]:
    """Pixtral: patches without positions (they are rotated), gated MLPs; no norm at the end."""
    hidden = config.count("hidden_size")
    heads = config.count("num_attention_heads")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    layer = f"{prefix}.transformer.layers.{{layer}}"
    return as_vision([
        *patches(f"{prefix}.patch_conv", config, bias=False),
        *blocks.norm(f"{prefix}.ln_pre", hidden, None),
        *blocks.norm(f"{layer}.attention_norm", hidden, layers),
        *blocks.gqa(
            f"{layer}.attention", layers,
            hidden_size=hidden, num_heads=heads, num_kv_heads=heads, head_dim=hidden // heads,
        ),
        *blocks.norm(f"{layer}.ffn_norm", hidden, layers),
        *blocks.glu_mlp(
            f"{layer}.feed_forward", layers,
            hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
        ),
    ])  # fmt: skip


def patches(name: str, config: Fields, *, bias: bool) -> list[Tensor]:
    """The convolution that turns patches of the image into vectors."""
    patch, channels = config.count("patch_size"), config.count("num_channels", default=3)
    hidden = config.count("hidden_size")
    tensors = [Tensor(f"{name}.weight", (hidden, channels, patch, patch), Role.VISION, Kind.CONV)]
    if bias:
        tensors.append(blocks.vector(f"{name}.bias", hidden, Role.VISION, None))
    return tensors


def vision_table(name: str, rows: int, width: int) -> Tensor:
    """A table of positions."""
    return Tensor(name, (rows, width), Role.VISION, Kind.EMBEDDING)


def as_vision(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Blocks of a language model, counted with the tower."""
    return [replace(tensor, role=Role.VISION) for tensor in tensors]


def projector(prefix: str, width_in: int, width: int, *, bias: bool) -> list[Tensor]:
    """The two matrices that bring the tower's output to the language model's width."""
    return [
        *blocks.linear(f"{prefix}.linear_1", width, width_in, Role.VISION, None, split=Split.COLUMN, bias=bias),
        *blocks.linear(f"{prefix}.linear_2", width, width, Role.VISION, None, split=Split.ROW, bias=bias),
    ]
