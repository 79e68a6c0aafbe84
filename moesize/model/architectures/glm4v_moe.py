"""GLM-4.5V and 4.6V: the GLM-4.5-Air decoder beside a vision tower.

Names: transformers `models/glm4v_moe`, checkpoint `zai-org/GLM-4.5V`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.architectures._towers import as_vision
from moesize.model.architectures.glm4_moe import design_of
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `glm4v_moe` configuration."""
    nested = config.sub("text_config")
    outer = {key: config.values[key] for key in ("dtype", "torch_dtype", "tie_word_embeddings") if config.has(key)}
    text = Fields({"attention_bias": True, **outer, **nested.values}, config.where)
    num_layers = text.layer_count("num_hidden_layers")
    dense, sparse = moe.first_dense(num_layers, text.count("first_k_dense_replace", minimum=0))
    return gqa_moe.decoder(
        text,
        design_of(text, with_dense=bool(dense)),
        family="glm4v_moe",
        dense=dense,
        sparse=sparse,
        shared_experts=text.expert_count("n_shared_experts", minimum=0),
        prefix="model.language_model.",
        more=_vision(config.sub("vision_config")),
    )


def _vision(config: Fields, prefix: str = "model.visual") -> list[Tensor]:
    """A ViT of gated MLPs, a convolution that joins two by two patches, and a gated merger."""
    role = Role.VISION
    width, out, heads = config.count("hidden_size"), config.count("out_hidden_size"), config.count("num_heads")
    patch, merge = config.count("patch_size"), config.count("spatial_merge_size")
    inner = config.count("intermediate_size")
    layers = tuple(range(config.layer_count("depth")))
    block, merger = f"{prefix}.blocks.{{layer}}", f"{prefix}.merger"
    patches = (width, config.count("in_channels", default=3), config.count("temporal_patch_size"), patch, patch)
    positions = (config.count("image_size") // patch) ** 2
    qkv = blocks.fused_qkv_segments(heads, heads, width // heads)
    return [
        Tensor(f"{prefix}.embeddings.position_embedding.weight", (positions, width), role, Kind.EMBEDDING),
        Tensor(f"{prefix}.patch_embed.proj.weight", patches, role, Kind.CONV),
        blocks.vector(f"{prefix}.patch_embed.proj.bias", width, role, None),
        Tensor(f"{prefix}.downsample.weight", (out, width, merge, merge), role, Kind.CONV),
        blocks.vector(f"{prefix}.downsample.bias", out, role, None),
        *blocks.linear(f"{block}.attn.qkv", 3 * width, width, role, layers, split=Split.COLUMN, segments=qkv),
        *blocks.linear(
            f"{block}.attn.proj", width, width, role, layers,
            split=Split.ROW, segments=blocks.heads(heads, width // heads),
        ),
        *blocks.linear(f"{merger}.proj", out, out, role, None),
        *as_vision([
            *blocks.norm(f"{prefix}.post_conv_layernorm", width, None),
            *blocks.norm(f"{prefix}.post_layernorm", width, None),
            *blocks.norm(f"{block}.norm1", width, layers),
            *blocks.norm(f"{block}.norm2", width, layers),
            *blocks.glu_mlp(f"{block}.mlp", layers, hidden_size=width, intermediate_size=out),
            *blocks.norm(f"{merger}.post_projection_norm", out, None, bias=True),
            *blocks.linear(f"{merger}.gate_proj", inner, out, role, None, split=Split.COLUMN),
            *blocks.linear(f"{merger}.up_proj", inner, out, role, None, split=Split.COLUMN),
            *blocks.linear(f"{merger}.down_proj", out, inner, role, None, split=Split.ROW),
        ]),
    ]  # fmt: skip
