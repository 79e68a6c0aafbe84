"""Kimi K2.5 and later: the DeepSeek-V3 decoder under `language_model.`, beside a vision tower.

Names: checkpoint `moonshotai/Kimi-K2.5` as transformers' conversion of `kimi_k25` reads them.
"""

from dataclasses import replace

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import deepseek
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `kimi_k25` configuration: `text_config` and `vision_config`."""
    text = config.sub("text_config")
    spec = deepseek.build_text(text, prefix="language_model.", family="deepseek_v3")
    tower = _vision(config.sub("vision_config"), text.count("hidden_size"))
    return replace(
        spec,
        architecture="kimi_k25",
        source=config.where,
        dtype=config.dtype(default=spec.dtype),
        tensors=(*spec.tensors, *tower),
    )


def _vision(config: Fields, text_size: int) -> list[Tensor]:
    """The tower and its projector."""
    width, depth = config.count("vt_hidden_size"), config.layer_count("vt_num_hidden_layers")
    heads, inner = config.count("vt_num_attention_heads"), config.count("vt_intermediate_size")
    patch, role = config.count("patch_size"), Role.VISION
    rows, columns = config.count("init_pos_emb_height"), config.count("init_pos_emb_width")
    joined = config.count("mm_hidden_size") * _merged_patches(config)
    layers = tuple(range(depth))
    tower, projector = "vision_tower.patch_embed", "mm_projector"
    block = "vision_tower.encoder.blocks.{layer}"
    qkv = blocks.fused_qkv_segments(heads, heads, width // heads)
    return [
        Tensor(f"{tower}.proj.weight", (width, 3, patch, patch), role, Kind.CONV),
        blocks.vector(f"{tower}.proj.bias", width, role, None),
        Tensor(f"{tower}.pos_emb.weight", (rows, columns, width), role, Kind.PARAMETER),
        *_layer_norm(f"{block}.norm0", width, layers),
        *_layer_norm(f"{block}.norm1", width, layers),
        *blocks.linear(f"{block}.wqkv", 3 * width, width, role, layers, split=Split.COLUMN, segments=qkv, bias=True),
        *blocks.linear(
            f"{block}.wo", width, width, role, layers,
            split=Split.ROW, segments=blocks.heads(heads, width // heads), bias=True,
        ),
        *blocks.linear(f"{block}.mlp.fc0", inner, width, role, layers, split=Split.COLUMN, bias=True),
        *blocks.linear(f"{block}.mlp.fc1", width, inner, role, layers, split=Split.ROW, bias=True),
        *_layer_norm("vision_tower.encoder.final_layernorm", width, None),
        *_layer_norm(f"{projector}.pre_norm", config.count("mm_hidden_size"), None),
        *blocks.linear(f"{projector}.proj.0", joined, joined, role, None, bias=True),
        *blocks.linear(f"{projector}.proj.2", text_size, joined, role, None, bias=True),
    ]  # fmt: skip


def _merged_patches(config: Fields) -> int:
    """How many patches the projector joins into one token."""
    rows, columns = config.counts("merge_kernel_size", default=(2, 2), minimum=1, length=2)
    return rows * columns


def _layer_norm(name: str, size: int, layers: tuple[int, ...] | None) -> list[Tensor]:
    return [replace(t, role=Role.VISION) for t in blocks.norm(name, size, layers, bias=True)]
