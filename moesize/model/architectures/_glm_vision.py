"""The vision tower of GLM-4.1V, 4.5V and 4.6V: a ViT of gated MLPs, a convolution over 2 × 2 patches, a gated merger.

Names: transformers `models/glm4v`; the division over ranks is that of vLLM's `models/glm4_1v.py`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._towers import as_vision
from moesize.model.fields import Fields
from moesize.model.spec import Kind, Role, Split, Tensor


def vision_tower(config: Fields, prefix: str = "model.visual") -> list[Tensor]:
    """Every tensor of a `vision_config`."""
    role = Role.VISION
    width, heads = config.count("hidden_size"), config.count("num_heads", "num_attention_heads")
    out, patch = config.count("out_hidden_size"), config.count("patch_size")
    merge = config.count("spatial_merge_size", default=2)
    layers = tuple(range(config.layer_count("depth", "num_hidden_layers")))
    block, merger = f"{prefix}.blocks.{{layer}}", f"{prefix}.merger"
    qkv = blocks.fused_qkv_segments(heads, heads, width // heads)
    positions = (config.count("image_size") // patch) ** 2
    volume = (
        width,
        config.count("in_channels", default=3),
        config.count("temporal_patch_size", default=2),
        patch,
        patch,
    )
    bias = config.flag("attention_bias", default=False)
    return as_vision(
        [
            Tensor(f"{prefix}.patch_embed.proj.weight", volume, role, Kind.CONV),
            blocks.vector(f"{prefix}.patch_embed.proj.bias", width, role, None),
            Tensor(f"{prefix}.embeddings.position_embedding.weight", (positions, width), role, Kind.EMBEDDING),
            *blocks.norm(f"{prefix}.post_conv_layernorm", width, None),
            *blocks.norm(f"{block}.norm1", width, layers),
            *blocks.linear(
                f"{block}.attn.qkv", 3 * width, width, role, layers, split=Split.COLUMN, segments=qkv, bias=bias
            ),
            *blocks.linear(
                f"{block}.attn.proj",
                width,
                width,
                role,
                layers,
                split=Split.ROW,
                segments=blocks.heads(heads, width // heads),
            ),
            *blocks.norm(f"{block}.norm2", width, layers),
            *blocks.glu_mlp(f"{block}.mlp", layers, hidden_size=width, intermediate_size=out),
            *blocks.norm(f"{prefix}.post_layernorm", width, None),
            Tensor(f"{prefix}.downsample.weight", (out, width, merge, merge), role, Kind.CONV),
            blocks.vector(f"{prefix}.downsample.bias", out, role, None),
            *_merger(merger, out, config.count("intermediate_size")),
        ]
    )


def _merger(prefix: str, width: int, inner: int) -> list[Tensor]:
    role, column = Role.VISION, Split.COLUMN
    return [
        *blocks.linear(f"{prefix}.proj", width, width, role, None, split=column),
        *blocks.norm(f"{prefix}.post_projection_norm", width, None, bias=True),
        *blocks.linear(f"{prefix}.gate_proj", inner, width, role, None, split=column),
        *blocks.linear(f"{prefix}.up_proj", inner, width, role, None, split=column),
        *blocks.linear(f"{prefix}.down_proj", width, inner, role, None, split=Split.ROW),
    ]
