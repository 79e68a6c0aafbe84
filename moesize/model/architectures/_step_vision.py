"""The vision tower of Step-3.7: a ViT with scaled residuals and two convolutions that shrink its output.

Names: checkpoint `stepfun-ai/Step-3.7-Flash`, transformers `models/step3p7`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._towers import as_vision
from moesize.model.fields import Fields
from moesize.model.spec import Kind, Role, Split, Tensor


def tower(config: Fields, text_hidden_size: int, prefix: str = "vision_model") -> list[Tensor]:
    """Every tensor of a `vision_config`; queries, keys and values are one matrix without `.weight` in its name."""
    role = Role.VISION
    width, heads = config.count("width", "hidden_size"), config.count("heads", "num_attention_heads")
    patch = config.count("patch_size")
    positions = (config.count("image_size") // patch) ** 2
    layers = tuple(range(config.layer_count("layers", "num_hidden_layers")))
    inner = int(width * config.number("mlp_ratio"))
    block = f"{prefix}.transformer.resblocks.{{layer}}"
    qkv = blocks.fused_qkv_segments(heads, heads, width // heads)
    column = Split.COLUMN
    return [
        Tensor(f"{prefix}.conv1.weight", (width, 3, patch, patch), role, Kind.CONV),
        Tensor(f"{prefix}.positional_embedding", (positions, width), role, Kind.PARAMETER),
        *as_vision([
            *blocks.norm(f"{prefix}.ln_pre", width, None, bias=True),
            *blocks.norm(f"{block}.ln_1", width, layers, bias=True),
            *blocks.norm(f"{block}.ln_2", width, layers, bias=True),
            *blocks.plain_mlp(
                f"{block}.mlp", layers, hidden_size=width, intermediate_size=inner, bias=True,
                names=("c_fc", "c_proj"),
            ),
        ]),
        *(blocks.vector(f"{block}.ls_{i}.gamma", width, role, layers) for i in (1, 2)),
        Tensor(
            f"{block}.attn.in_proj_weight", (3 * width, width), role, Kind.LINEAR, layers, split=column, segments=qkv
        ),
        blocks.vector(f"{block}.attn.in_proj_bias", 3 * width, role, layers, split=column, segments=qkv),
        *blocks.linear(
            f"{block}.attn.out_proj", width, width, role, layers,
            split=Split.ROW, segments=blocks.heads(heads, width // heads), bias=True,
        ),
        *_shrink(f"{prefix}.vit_downsampler1", width),
        *_shrink(f"{prefix}.vit_downsampler2", 2 * width),
        *blocks.linear("vit_large_projector", text_hidden_size, 4 * width, role, None),
    ]  # fmt: skip


def _shrink(prefix: str, width: int) -> list[Tensor]:
    """A convolution of three by three that doubles the channels."""
    return [
        Tensor(f"{prefix}.weight", (2 * width, width, 3, 3), Role.VISION, Kind.CONV),
        blocks.vector(f"{prefix}.bias", 2 * width, Role.VISION, None),
    ]
