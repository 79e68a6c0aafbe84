"""ERNIE 4.5 VL: a layer has one mixture for text and a narrower one for images; the shared experts serve both.

Names: transformers `models/ernie4_5_vl_moe`. Checkpoints number the image experts after the text experts, which the
class splits when it loads them; here they stand under the class's own names.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.architectures._towers import as_vision
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `ernie4_5_vl_moe` (nested) or `ernie4_5_moe_vl` (flat) configuration."""
    nested = config.maybe_sub("text_config")
    outer = {key: config.values[key] for key in ("dtype", "torch_dtype", "tie_word_embeddings") if config.has(key)}
    text = Fields({**outer, **nested.values}, config.where) if nested else config
    moe.refuse(text, "use_bias")
    hidden = text.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(text, hidden)
    layers = tuple(range(text.layer_count("num_hidden_layers")))
    dense, sparse = _dense_and_sparse(text, len(layers))
    prefix = "model.language_model."
    layer = f"{prefix}layers.{{layer}}"
    shared = text.expert_count("moe_num_shared_experts", minimum=0)
    widths = text.counts("moe_intermediate_size", minimum=1)
    if len(widths) not in (2, 3):
        raise InputError(f"{text.where}: moe_intermediate_size has {len(widths)} entries, expected text and image")
    tensors = [
        *gqa_moe.ends(text, hidden, prefix=prefix, tied_by_default=True),
        *blocks.norm(f"{layer}.input_layernorm", hidden, layers),
        *blocks.gqa(
            f"{layer}.self_attn", layers,
            hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
        ),
        *blocks.norm(f"{layer}.post_attention_layernorm", hidden, layers),
        *(_dense(text, layer, hidden, dense) if dense else ()),
        *_mixture(text, f"{layer}.mlp.text_moe", hidden, sparse, widths[0], text.expert_count("moe_k")),
        # No text token chooses an image expert: they count as resident, not as active.
        *_mixture(text, f"{layer}.mlp.vision_moe", hidden, sparse, widths[1], 0),
        *blocks.glu_mlp(
            f"{layer}.mlp.shared_experts", sparse,
            hidden_size=hidden, intermediate_size=widths[0] * max(1, shared), role=Role.SHARED_EXPERT,
        ),
        *_vision(config.sub("vision_config")),
        *_resampler(config.sub("vision_config"), hidden),
    ]  # fmt: skip
    return blocks.assemble(
        text, family="ernie4_5_vl_moe", num_layers=len(layers), hidden_size=hidden,
        tensors=[t for t in tensors if shared or t.role is not Role.SHARED_EXPERT],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(text, head_dim),
        shared_experts=shared,
    )  # fmt: skip


def _dense_and_sparse(config: Fields, num_layers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if config.has("mlp_layer_types"):
        kinds = config.layer_types(num_layers, (), "mlp_layer_types")
        moe.known_types(config, kinds, ("dense", "sparse"), "mlp_layer_types")
        return moe.where_layer(kinds, "dense"), moe.where_layer(kinds, "sparse")
    return moe.first_dense(num_layers, moe.uniform(config, "moe_layer_start_index"))


def _dense(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    width = config.count("intermediate_size")
    return blocks.glu_mlp(f"{layer}.mlp", layers, hidden_size=hidden_size, intermediate_size=width)


def _mixture(
    config: Fields, prefix: str, hidden_size: int, layers: tuple[int, ...], width: int, per_token: int
) -> list[Tensor]:
    experts = moe.uniform(config, "moe_num_experts")
    tensors = moe.mixture(
        prefix, layers, hidden_size=hidden_size, intermediate_size=width,
        experts=experts, per_token=per_token, gate_dtype="float32",
    )  # fmt: skip
    name = f"{prefix}.gate.moe_statics.e_score_correction_bias"
    return [
        *moe.stacked_experts(tensors, transposed=False),
        moe.score_correction(name, (1, experts), layers, buffer=False),
    ]


def _vision(config: Fields, prefix: str = "model.vision_tower") -> list[Tensor]:
    role = Role.VISION
    width, heads = config.count("hidden_size", "embed_dim"), config.count("num_heads")
    inner = config.count("intermediate_size", default=int(width * config.number("mlp_ratio", default=4)))
    layers = tuple(range(config.layer_count("depth")))
    block = f"{prefix}.blocks.{{layer}}"
    pixels = config.count("in_channels", "in_chans", default=3) * config.count("patch_size") ** 2
    qkv = blocks.fused_qkv_segments(heads, heads, width // heads)
    return [
        *blocks.linear(f"{prefix}.patch_embed.proj", width, pixels, role, None),
        *blocks.linear(
            f"{block}.attn.qkv", 3 * width, width, role, layers, split=Split.COLUMN, segments=qkv, bias=True
        ),
        *blocks.linear(
            f"{block}.attn.proj", width, width, role, layers,
            split=Split.ROW, segments=blocks.heads(heads, width // heads), bias=True,
        ),
        *as_vision([
            *blocks.norm(f"{block}.norm1", width, layers, bias=True),
            *blocks.norm(f"{block}.norm2", width, layers, bias=True),
            *blocks.plain_mlp(
                f"{block}.mlp", layers, hidden_size=width, intermediate_size=inner, bias=True, names=("fc1", "fc2")
            ),
            *blocks.norm(f"{prefix}.ln", width, None, bias=True),
        ]),
    ]  # fmt: skip


def _resampler(config: Fields, text_hidden_size: int, prefix: str = "model.resampler_model") -> list[Tensor]:
    """Joins four patches, then two frames."""
    role = Role.VISION
    merged = config.count("hidden_size", "embed_dim") * config.count("spatial_merge_size") ** 2
    framed = merged * config.count("temporal_merge_size", "temporal_conv_size", default=2)
    tensors = []
    for name, width in (("spatial_linear", merged), ("temporal_linear", framed)):
        tensors += [
            *blocks.linear(f"{prefix}.{name}.fc1", merged, width, role, None, bias=True),
            *blocks.linear(f"{prefix}.{name}.fc2", merged, merged, role, None, bias=True),
            *as_vision(blocks.norm(f"{prefix}.{name}.ln", merged, None, bias=True)),
        ]
    return [
        *tensors,
        *blocks.linear(f"{prefix}.mlp", text_hidden_size, merged, role, None, bias=True),
        *as_vision(blocks.norm(f"{prefix}.after_norm", text_hidden_size, None)),
    ]
