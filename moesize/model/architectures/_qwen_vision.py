"""The vision tower of Qwen3-VL and Qwen3.5: a ViT with learned positions and a merger of 2 × 2 patches.

Names: transformers `models/qwen3_vl`, `models/qwen3_5`; the division over ranks is that of vLLM's `models/qwen3_vl.py`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import Kind, Role, Rope, Split, Tensor

#: Positions of the rotary table vLLM makes for the tower (`Qwen3_VisionTransformer`).
ROPE_POSITIONS = 8192


def vision_tower(config: Fields, prefix: str = "model.visual") -> list[Tensor]:
    """Every tensor of a `vision_config`."""
    role = Role.VISION
    width, depth = config.count("hidden_size"), config.layer_count("depth")
    heads, inner = config.count("num_heads"), config.count("intermediate_size")
    patch = config.count("patch_size")
    merged = width * config.count("spatial_merge_size", default=2) ** 2
    out = config.count("out_hidden_size")
    layers = tuple(range(depth))
    block = f"{prefix}.blocks.{{layer}}"
    qkv = blocks.fused_qkv_segments(heads, heads, width // heads)
    patches = (width, config.count("in_channels", default=3), config.count("temporal_patch_size"), patch, patch)
    extra = len(config.counts("deepstack_visual_indexes", default=()))
    mergers = tuple(range(extra))
    return [
        Tensor(f"{prefix}.patch_embed.proj.weight", patches, role, Kind.CONV),
        blocks.vector(f"{prefix}.patch_embed.proj.bias", width, role, None),
        Tensor(
            f"{prefix}.pos_embed.weight", (config.count("num_position_embeddings"), width), role, Kind.EMBEDDING
        ),
        *_layer_norm(f"{block}.norm1", width, layers),
        *_layer_norm(f"{block}.norm2", width, layers),
        *blocks.linear(
            f"{block}.attn.qkv", 3 * width, width, role, layers, split=Split.COLUMN, segments=qkv, bias=True
        ),
        *blocks.linear(
            f"{block}.attn.proj", width, width, role, layers,
            split=Split.ROW, segments=blocks.heads(heads, width // heads), bias=True,
        ),
        *blocks.linear(f"{block}.mlp.linear_fc1", inner, width, role, layers, split=Split.COLUMN, bias=True),
        *blocks.linear(f"{block}.mlp.linear_fc2", width, inner, role, layers, split=Split.ROW, bias=True),
        *_merger(f"{prefix}.merger", width, merged, out, None),
        *_merger(f"{prefix}.deepstack_merger_list.{{layer}}", merged, merged, out, mergers),
    ]  # fmt: skip


def vision_rope(config: Fields) -> Rope:
    """The tower's rotary table: half of each head."""
    return Rope(config.count("hidden_size") // config.count("num_heads") // 2, ROPE_POSITIONS)


def _merger(prefix: str, norm_width: int, merged: int, out: int, layers: tuple[int, ...] | None) -> list[Tensor]:
    role = Role.VISION
    return [
        *_layer_norm(f"{prefix}.norm", norm_width, layers),
        *blocks.linear(f"{prefix}.linear_fc1", merged, merged, role, layers, split=Split.COLUMN, bias=True),
        *blocks.linear(f"{prefix}.linear_fc2", out, merged, role, layers, split=Split.ROW, bias=True),
    ]


def _layer_norm(name: str, width: int, layers: tuple[int, ...] | None) -> list[Tensor]:
    return [blocks.vector(f"{name}.{part}", width, Role.VISION, layers) for part in ("weight", "bias")]
