"""The vision and the audio tower of Gemma 4, which engines copy to every rank.

Names: transformers `models/gemma4`; vLLM 0.33 does not divide the vision tower over tensor-parallel ranks.
"""

from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import Kind, Role, Tensor

_Linear = tuple[str, int, int]


def vision(config: Fields, text_hidden_size: int, prefix: str = "model.") -> list[Tensor]:
    """A ViT with a table of two-dimensional positions, and the projection of its output."""
    role, tower = Role.VISION, f"{prefix}vision_tower"
    hidden, inner = config.count("hidden_size"), config.count("intermediate_size")
    head_dim, heads = config.count("head_dim"), config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    patch = 3 * config.count("patch_size") ** 2
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    layer = f"{tower}.encoder.layers.{{layer}}"
    linears: list[_Linear] = [
        ("self_attn.q_proj", heads * head_dim, hidden),
        ("self_attn.k_proj", kv_heads * head_dim, hidden),
        ("self_attn.v_proj", kv_heads * head_dim, hidden),
        ("self_attn.o_proj", hidden, heads * head_dim),
        ("mlp.gate_proj", inner, hidden),
        ("mlp.up_proj", inner, hidden),
        ("mlp.down_proj", hidden, inner),
    ]
    norms = [
        ("self_attn.q_norm", head_dim), ("self_attn.k_norm", head_dim),
        ("input_layernorm", hidden), ("post_attention_layernorm", hidden),
        ("pre_feedforward_layernorm", hidden), ("post_feedforward_layernorm", hidden),
    ]  # fmt: skip
    positions = (2, config.count("position_embedding_size"), hidden)
    tensors = [
        Tensor(f"{tower}.patch_embedder.position_embedding_table", positions, role, Kind.PARAMETER),
        *blocks.linear(f"{tower}.patch_embedder.input_proj", hidden, patch, role, None),
        *_clippable(layer, linears, role, layers),
        *(blocks.vector(f"{layer}.{name}.weight", width, role, layers) for name, width in norms),
        *blocks.linear(f"{prefix}embed_vision.embedding_projection", text_hidden_size, hidden, role, None),
    ]
    if config.flag("standardize", default=False):
        scales = (blocks.vector(f"{tower}.{name}", hidden, role, None) for name in ("std_bias", "std_scale"))
        tensors += [replace(scale, buffer=True) for scale in scales]
    return tensors


def audio(config: Fields, text_hidden_size: int, prefix: str = "model.") -> list[Tensor]:
    """A conformer over two convolutions that subsample the spectrogram, and the projection of its output."""
    role, tower = Role.AUDIO, f"{prefix}audio_tower"
    hidden, out = config.count("hidden_size"), config.count("output_proj_dims")
    heads, kernel = config.count("num_attention_heads"), config.count("conv_kernel_size")
    channels = config.counts("subsampling_conv_channels", minimum=1)
    if len(channels) != 2:
        raise InputError(f"{config.where}: subsampling_conv_channels has {len(channels)} entries, expected 2")
    first, second = channels
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    layer, subsample = f"{tower}.layers.{{layer}}", f"{tower}.subsample_conv_projection"
    linears: list[_Linear] = [
        *((f"feed_forward{i}.ffw_layer_1", 4 * hidden, hidden) for i in (1, 2)),
        *((f"feed_forward{i}.ffw_layer_2", hidden, 4 * hidden) for i in (1, 2)),
        *((f"self_attn.{name}", hidden, hidden) for name in ("q_proj", "k_proj", "v_proj", "post")),
        ("lconv1d.linear_start", 2 * hidden, hidden),
        ("lconv1d.linear_end", hidden, hidden),
    ]
    norms = (
        *(f"feed_forward{i}.{side}_layer_norm" for i in (1, 2) for side in ("pre", "post")),
        "lconv1d.pre_layer_norm", "lconv1d.conv_norm", "norm_pre_attn", "norm_post_attn", "norm_out",
    )  # fmt: skip
    # Both convolutions halve the 128 frequencies of the spectrogram.
    flattened = 128 // 4 * second
    return [
        Tensor(f"{subsample}.layer0.conv.weight", (first, 1, 3, 3), role, Kind.CONV),
        blocks.vector(f"{subsample}.layer0.norm.weight", first, role, None),
        Tensor(f"{subsample}.layer1.conv.weight", (second, first, 3, 3), role, Kind.CONV),
        blocks.vector(f"{subsample}.layer1.norm.weight", second, role, None),
        *blocks.linear(f"{subsample}.input_proj_linear", hidden, flattened, role, None),
        *_clippable(layer, linears, role, layers),
        *blocks.linear(f"{layer}.self_attn.relative_k_proj", hidden, hidden, role, layers),
        blocks.vector(f"{layer}.self_attn.per_dim_scale", hidden // heads, role, layers),
        Tensor(f"{layer}.lconv1d.depthwise_conv1d.weight", (hidden, 1, kernel), role, Kind.CONV, layers),
        *(blocks.vector(f"{layer}.{name}.weight", hidden, role, layers) for name in norms),
        *blocks.linear(f"{tower}.output_proj", out, hidden, role, None, bias=True),
        *blocks.linear(f"{prefix}embed_audio.embedding_projection", text_hidden_size, out, role, None),
    ]


def _clippable(prefix: str, linears: list[_Linear], role: Role, layers: tuple[int, ...]) -> list[Tensor]:
    """Matrices inside the towers' clipping layer, which keeps them as `linear`."""
    return [
        t for name, rows, width in linears for t in blocks.linear(f"{prefix}.{name}.linear", rows, width, role, layers)
    ]
