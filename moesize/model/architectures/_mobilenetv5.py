"""MobileNetV5-300M, the image encoder of Gemma 3n: residual convolutions, then multi-query attention over the image.

Shapes: timm `models/mobilenetv5.py`, `mobilenetv5_300m_enc`. Engines keep it whole on every rank.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.spec import Kind, Role, Tensor

STEM = 64
#: Output channels of the four stages.
EDGE, EARLY, MIDDLE, LATE = 128, 256, 640, 1280
#: Query heads, their width, and how many pairs of attention and MLP follow in the last two stages.
MIDDLE_ATTENTION = (12, 64, 14)
LATE_ATTENTION = (16, 96, 19)
OUT = 2048


def mobilenet_v5(prefix: str) -> list[Tensor]:
    """Every tensor of the encoder; its output is `OUT` wide."""
    return [
        *_normed(f"{prefix}.conv_stem", (STEM, 3, 3, 3)),
        blocks.vector(f"{prefix}.conv_stem.conv.bias", STEM, Role.VISION, None),
        *_edge_residual(f"{prefix}.blocks.0.0", STEM, 4),
        *_edge_residual(f"{prefix}.blocks.0.1", EDGE, 4),
        *_edge_residual(f"{prefix}.blocks.0.2", EDGE, 4),
        *_inverted(f"{prefix}.blocks.1.0", EDGE, EARLY, 6, start=3, mid=5),
        *(
            t
            for i in range(1, 5)
            for t in _inverted(f"{prefix}.blocks.1.{i}", EARLY, EARLY, 4, start=5 if i % 2 else 3)
        ),
        *_inverted(f"{prefix}.blocks.2.0", EARLY, MIDDLE, 6, start=5, mid=5),
        *(t for i in range(1, 8) for t in _inverted(f"{prefix}.blocks.2.{i}", MIDDLE, MIDDLE, 4, start=5)),
        *_inverted(f"{prefix}.blocks.2.8", MIDDLE, MIDDLE, 1),
        *_attention_stage(f"{prefix}.blocks.2", 9, MIDDLE, *MIDDLE_ATTENTION, shrinks=True),
        *_inverted(f"{prefix}.blocks.3.0", MIDDLE, LATE, 6, start=5, mid=5),
        *_attention_stage(f"{prefix}.blocks.3", 1, LATE, *LATE_ATTENTION, shrinks=False),
        *_inverted(f"{prefix}.msfa.ffn", MIDDLE + LATE, OUT, 2, scaled=False),
        blocks.vector(f"{prefix}.msfa.norm.weight", OUT, Role.VISION, None),
    ]


def _attention_stage(
    prefix: str, first: int, width: int, heads: int, head_dim: int, pairs: int, *, shrinks: bool
) -> list[Tensor]:
    tensors: list[Tensor] = []
    for pair in range(pairs):
        at = first + 2 * pair
        tensors += _attention(f"{prefix}.{at}", width, heads, head_dim, shrinks=shrinks)
        tensors += _inverted(f"{prefix}.{at + 1}", width, width, 2)
    return tensors


def _attention(prefix: str, width: int, heads: int, head_dim: int, *, shrinks: bool) -> list[Tensor]:
    """Many queries on one key and value, which may see a shrunken image."""
    attn = f"{prefix}.attn"
    tensors = [
        blocks.vector(f"{prefix}.norm.weight", width, Role.VISION, None),
        _conv(f"{attn}.query.proj.weight", (heads * head_dim, width, 1, 1)),
    ]
    for side in ("key", "value"):
        if shrinks:
            tensors.append(_conv(f"{attn}.{side}.down_conv.weight", (width, 1, 3, 3)))
            tensors.append(blocks.vector(f"{attn}.{side}.norm.weight", width, Role.VISION, None))
        tensors.append(_conv(f"{attn}.{side}.proj.weight", (head_dim, width, 1, 1)))
    tensors.append(_conv(f"{attn}.output.proj.weight", (width, heads * head_dim, 1, 1)))
    tensors.append(blocks.vector(f"{prefix}.layer_scale.gamma", width, Role.VISION, None))
    return tensors


def _inverted(
    prefix: str, width_in: int, width: int, expansion: int, *, start: int = 0, mid: int = 0, scaled: bool = True
) -> list[Tensor]:
    """A universal inverted residual: widen, maybe look around, narrow again."""
    inner = width_in * expansion
    tensors: list[Tensor] = []
    if start:
        tensors += _normed(f"{prefix}.dw_start", (width_in, 1, start, start))
    tensors += _normed(f"{prefix}.pw_exp", (inner, width_in, 1, 1))
    if mid:
        tensors += _normed(f"{prefix}.dw_mid", (inner, 1, mid, mid))
    tensors += _normed(f"{prefix}.pw_proj", (width, inner, 1, 1))
    if scaled:
        tensors.append(blocks.vector(f"{prefix}.layer_scale.gamma", width, Role.VISION, None))
    return tensors


def _edge_residual(prefix: str, width_in: int, expansion: int) -> list[Tensor]:
    inner = width_in * expansion
    return [
        _conv(f"{prefix}.conv_exp.weight", (inner, width_in, 3, 3)),
        blocks.vector(f"{prefix}.bn1.weight", inner, Role.VISION, None),
        _conv(f"{prefix}.conv_pwl.weight", (EDGE, inner, 1, 1)),
        blocks.vector(f"{prefix}.bn2.weight", EDGE, Role.VISION, None),
    ]


def _normed(prefix: str, shape: tuple[int, ...]) -> list[Tensor]:
    return [_conv(f"{prefix}.conv.weight", shape), blocks.vector(f"{prefix}.bn.weight", shape[0], Role.VISION, None)]


def _conv(name: str, shape: tuple[int, ...]) -> Tensor:
    return Tensor(name, shape, Role.VISION, Kind.CONV)
