"""The audio encoder of Gemma 3n: convolutions over the spectrogram, then conformer layers.

Names and shapes: transformers `models/gemma3n` (`Gemma3nAudioEncoder`). Engines keep it whole on every rank.
"""

from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import Kind, Role, Tensor


def audio_encoder(config: Fields, prefix: str) -> list[Tensor]:
    """Every tensor of an `audio_config`."""
    width, role = config.count("hidden_size"), Role.AUDIO
    layers = tuple(range(config.layer_count("conf_num_hidden_layers")))
    layer = f"{prefix}.conformer.{{layer}}"
    attention, conv = f"{layer}.attention", f"{layer}.lconv1d"
    head_dim = width // config.count("conf_num_attention_heads")
    tensors = [
        *_subsampling(config, f"{prefix}.subsample_conv_projection", width),
        *_feed_forward(f"{layer}.ffw_layer_start", width, layers),
        *blocks.norm(f"{attention}.pre_attn_norm", width, layers),
        blocks.vector(f"{attention}.attn.per_dim_scale", head_dim, role, layers),
        *blocks.linear(f"{attention}.attn.relative_position_embedding.pos_proj", width, width, role, layers),
        *(t for name in "qkv" for t in blocks.linear(f"{attention}.attn.{name}_proj", width, width, role, layers)),
        *blocks.linear(f"{attention}.post", width, width, role, layers),
        *blocks.norm(f"{attention}.post_norm", width, layers),
        *blocks.norm(f"{conv}.pre_layer_norm", width, layers),
        *blocks.linear(f"{conv}.linear_start", 2 * width, width, role, layers),
        Tensor(
            f"{conv}.depthwise_conv1d.weight",
            (width, 1, config.count("conf_conv_kernel_size")),
            role,
            Kind.CONV,
            layers,
        ),
        *blocks.norm(f"{conv}.conv_norm", width, layers),
        *blocks.linear(f"{conv}.linear_end", width, width, role, layers),
        *_feed_forward(f"{layer}.ffw_layer_end", width, layers),
        *blocks.norm(f"{layer}.norm", width, layers),
    ]
    return [replace(tensor, role=role) for tensor in tensors]


def _subsampling(config: Fields, prefix: str, width: int) -> list[Tensor]:
    """Two strided convolutions and the projection of what they leave of the frequencies.

    Raises:
        InputError: kernel sizes or strides that are not two pairs.
    """
    channels = config.counts("sscp_conv_channel_size", minimum=1)
    kernels, strides = (
        _pairs(config, "sscp_conv_kernel_size"),
        _pairs(config, "sscp_conv_stride_size"),
    )
    frequencies, before = config.count("input_feat_size", default=128), 1
    tensors: list[Tensor] = []
    for i, (out, kernel, stride) in enumerate(zip(channels, kernels, strides, strict=False)):
        name = f"{prefix}.conv_{i}"
        tensors.append(Tensor(f"{name}.conv.weight", (out, before, *kernel), Role.AUDIO, Kind.CONV))
        tensors += blocks.norm(f"{name}.norm", out, None)
        # One frequency of padding on either side.
        frequencies, before = (frequencies + 2 - kernel[1]) // stride[1] + 1, out
    return [*tensors, *blocks.linear(f"{prefix}.input_proj_linear", width, before * frequencies, Role.AUDIO, None)]


def _pairs(config: Fields, key: str) -> list[tuple[int, int]]:
    rows = config.values.get(key)
    if not isinstance(rows, list | tuple) or len(rows) != 2:
        raise InputError(f"{config.where}: {key} is missing or not two pairs of whole numbers")
    read = Fields({str(i): row for i, row in enumerate(rows)}, f"{config.where}: {key}")
    pairs = [read.counts(str(i), minimum=1) for i in range(2)]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{config.where}: {key} is not two pairs of whole numbers")
    return [(pair[0], pair[1]) for pair in pairs]


def _feed_forward(prefix: str, width: int, layers: tuple[int, ...]) -> list[Tensor]:
    return [
        *blocks.norm(f"{prefix}.pre_layer_norm", width, layers),
        *blocks.linear(f"{prefix}.ffw_layer_1", 4 * width, width, Role.AUDIO, layers),
        *blocks.linear(f"{prefix}.ffw_layer_2", width, 4 * width, Role.AUDIO, layers),
        *blocks.norm(f"{prefix}.post_layer_norm", width, layers),
    ]
