"""MoonViT, the tower of Kimi-VL and, with a temporal axis that has no weights, of Kimi K2.5.

Names: vLLM 0.33 `models/moonvit.py`, `models/kimi_k25_vit.py`.
"""

from dataclasses import replace
from typing import NamedTuple

from moesize.model.architectures import _blocks as blocks
from moesize.model.spec import Kind, Role, Split, Tensor


class Tower(NamedTuple):
    """Dimensions of a tower: learned positions on a grid, `merged` patches of it joined into one token."""

    width: int
    inner: int
    layers: int
    heads: int
    patch: int
    positions: tuple[int, ...]
    merged: tuple[int, ...]

    def joined(self, width: int) -> int:
        """The width of the patches that make one token, each `width` wide."""
        rows, columns = self.merged
        return width * rows * columns


def moonvit(tower: Tower) -> list[Tensor]:
    """Patch and position embeddings, the encoder and its last norm."""
    width, role = tower.width, Role.VISION
    layers = tuple(range(tower.layers))
    block, patches = "vision_tower.encoder.blocks.{layer}", "vision_tower.patch_embed"
    qkv = blocks.fused_qkv_segments(tower.heads, tower.heads, width // tower.heads)
    out = blocks.heads(tower.heads, width // tower.heads)
    return [
        Tensor(f"{patches}.proj.weight", (width, 3, tower.patch, tower.patch), role, Kind.CONV),
        blocks.vector(f"{patches}.proj.bias", width, role, None),
        Tensor(f"{patches}.pos_emb.weight", (*tower.positions, width), role, Kind.PARAMETER),
        *layer_norm(f"{block}.norm0", width, layers),
        *layer_norm(f"{block}.norm1", width, layers),
        *blocks.linear(f"{block}.wqkv", 3 * width, width, role, layers, split=Split.COLUMN, segments=qkv, bias=True),
        *blocks.linear(f"{block}.wo", width, width, role, layers, split=Split.ROW, segments=out, bias=True),
        *blocks.linear(f"{block}.mlp.fc0", tower.inner, width, role, layers, split=Split.COLUMN, bias=True),
        *blocks.linear(f"{block}.mlp.fc1", width, tower.inner, role, layers, split=Split.ROW, bias=True),
        *layer_norm("vision_tower.encoder.final_layernorm", width, None),
    ]


def layer_norm(name: str, size: int, layers: tuple[int, ...] | None) -> list[Tensor]:
    """A LayerNorm counted with the tower."""
    return [replace(t, role=Role.VISION) for t in blocks.norm(name, size, layers, bias=True)]
