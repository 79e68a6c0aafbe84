"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL (dense and mixture): a Qwen decoder beside a vision tower.

Names: transformers `models/qwen2_vl`, `models/qwen2_5_vl`, `models/qwen3_vl`, `models/qwen3_vl_moe`; vLLM's modules of
the same names divide towers over ranks. Qwen3-VL stores its experts stacked and transposed.
"""

from dataclasses import replace

from moesize.model import architectures
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _qwen_vision as qwen3_vision
from moesize.model.architectures._moe import stacked_experts
from moesize.model.architectures._towers import as_vision
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor

#: The decoder inside each of them.
DECODERS = {
    "qwen2_vl": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_vl_moe_text": "qwen3_moe",
}


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of one of these; `qwen2_vl` files may hold the text keys beside `vision_config`."""
    family = config.text("model_type")
    outer = {key: config.values[key] for key in ("dtype", "torch_dtype", "tie_word_embeddings") if config.has(key)}
    nested = config.maybe_sub("text_config")
    text = Fields({**outer, **(nested.values if nested else config.values), "architectures": None}, config.where)
    spec = architectures.build(text, family=DECODERS[family])
    third = family.startswith("qwen3")
    vision = config.sub("vision_config")
    if third:
        tower, prefix = qwen3_vision.vision_tower(vision), "model.language_model."
    else:
        tower, prefix = _tower(vision, modern=family == "qwen2_5_vl"), "model."
    language = [_renamed(t, prefix) for t in spec.tensors]
    if family.startswith("qwen3_vl_moe"):
        language = stacked_experts(language, transposed=True)
    return replace(spec, architecture=family, tensors=(*language, *tower))


def _renamed(tensor: Tensor, prefix: str) -> Tensor:
    def name(old: str) -> str:
        return prefix + old.removeprefix("model.") if old.startswith("model.") else old

    return replace(tensor, name=name(tensor.name), tied_to=name(tensor.tied_to) if tensor.tied_to else None)


def _tower(config: Fields, *, modern: bool, prefix: str = "visual") -> list[Tensor]:
    """The tower of Qwen2-VL (LayerNorms, two matrices in the MLP) and of Qwen2.5-VL (RMSNorms, three)."""
    width = config.count("hidden_size" if modern else "embed_dim")
    out = config.count("out_hidden_size" if modern else "hidden_size")
    heads, layers = config.count("num_heads"), tuple(range(config.layer_count("depth")))
    patch = config.count("patch_size")
    merged = width * config.count("spatial_merge_size", default=2) ** 2
    patches = (width, config.count("in_channels", "in_chans", default=3), config.count("temporal_patch_size"))
    block, role, column = f"{prefix}.blocks.{{layer}}", Role.VISION, Split.COLUMN
    if modern:
        inner = config.count("intermediate_size")
        mlp = blocks.glu_mlp(f"{block}.mlp", layers, hidden_size=width, intermediate_size=inner, bias=True)
    else:
        inner = int(width * config.number("mlp_ratio"))
        names = ("fc1", "fc2")
        mlp = blocks.plain_mlp(
            f"{block}.mlp", layers, hidden_size=width, intermediate_size=inner, bias=True, names=names
        )
    qkv = blocks.fused_qkv_segments(heads, heads, width // heads)
    return [
        Tensor(f"{prefix}.patch_embed.proj.weight", (*patches, patch, patch), role, Kind.CONV),
        *as_vision(blocks.norm(f"{block}.norm1", width, layers, bias=not modern)),
        *as_vision(blocks.norm(f"{block}.norm2", width, layers, bias=not modern)),
        *blocks.linear(f"{block}.attn.qkv", 3 * width, width, role, layers, split=column, segments=qkv, bias=True),
        *blocks.linear(
            f"{block}.attn.proj", width, width, role, layers,
            split=Split.ROW, segments=blocks.heads(heads, width // heads), bias=True,
        ),
        *as_vision(mlp),
        *as_vision(blocks.norm(f"{prefix}.merger.ln_q", width, None, bias=not modern)),
        *blocks.linear(f"{prefix}.merger.mlp.0", merged, merged, role, None, split=column, bias=True),
        *blocks.linear(f"{prefix}.merger.mlp.2", out, merged, role, None, split=Split.ROW, bias=True),
    ]  # fmt: skip
