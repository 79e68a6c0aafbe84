"""Gemma 3n: embeddings for every layer, alternating updates, and later layers that read the keys of earlier ones.

Names: transformers `models/gemma3n`, checkpoints `google/gemma-3n-*`; what ranks share is vLLM's `models/gemma3n.py`.
The last layers' own key and value matrices are stored, and loaded by vLLM, but never used: buffers, not parameters.
"""

from collections.abc import Iterable
from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gemma3n_audio as audio
from moesize.model.architectures import _mobilenetv5 as mobilenet
from moesize.model.architectures import _moe
from moesize.model.architectures._decoder import Decoder, alternating_windows, decoder
from moesize.model.architectures.gemma import gemma3_ropes
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor

VISION_ARCHITECTURE = "mobilenetv5_300m_enc"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gemma3n` or `gemma3n_text` configuration.

    Raises:
        InputError: another vision tower than MobileNetV5-300M.
    """
    nested = config.maybe_sub("text_config")
    if nested is None:
        return language(config, "model")
    dtype = {key: config.text(key) for key in ("torch_dtype", "dtype") if config.has(key)}
    spec = language(Fields({**nested.values, **dtype}, nested.where), "model.language_model")
    width = spec.hidden_size or 0
    vision, sound = config.sub("vision_config"), config.sub("audio_config")
    if vision.text("architecture", default=VISION_ARCHITECTURE) != VISION_ARCHITECTURE:
        raise InputError(f"{vision.where}: architecture is not {VISION_ARCHITECTURE}, the only one known")
    towers = [
        *mobilenet.mobilenet_v5("model.vision_tower.timm_model"),
        *embedder("model.embed_vision", vision, mobilenet.OUT, width, Role.VISION),
        *audio.audio_encoder(sound, "model.audio_tower"),
        *embedder("model.embed_audio", sound, sound.count("hidden_size"), width, Role.AUDIO),
    ]
    return replace(spec, architecture="gemma3n", tensors=(*spec.tensors, *towers))


def language(config: Fields, prefix: str) -> ModelSpec:
    """The text model."""
    dims = decoder(config, "gemma3n", head_dim=256)
    windows = alternating_windows(config, len(dims.layers), period=5, window_tokens=512)
    shared = config.count("num_kv_shared_layers", default=15, minimum=0, maximum=len(dims.layers))
    owners = dims.layers[: len(dims.layers) - shared]
    layer = f"{prefix}.layers.{{layer}}"
    table, vocab = f"{prefix}.embed_tokens.weight", config.count("vocab_size")
    return dims.finish(
        [
            blocks.embedding(table, vocab, dims.hidden_size),
            *blocks.norm(f"{prefix}.norm", dims.hidden_size, None),
            *blocks.lm_head("lm_head.weight", vocab, dims.hidden_size, tied_to=table),
            *per_layer_embeddings(config, dims, prefix, layer),
            *owned(dims.attention(f"{layer}.self_attn"), owners),
            *owned(_moe.head_norms(f"{layer}.self_attn", dims.layers, dims.head_dim), owners),
            *dims.norms(
                layer,
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
            ),
            *mlps(config, dims, layer),
            *altup(config, dims, prefix, layer),
            *laurel(config, dims, f"{layer}.laurel"),
        ],
        windows=windows,
        ropes=gemma3_ropes(config, dims.head_dim),
        cache_owners=owners,
    )


def owned(tensors: Iterable[Tensor], owners: tuple[int, ...]) -> list[Tensor]:
    """Keys and values belong to the layers that own a cache; those of the others are stored for nothing."""
    divided: list[Tensor] = []
    for tensor in tensors:
        if not any(part in tensor.name for part in ("k_proj", "v_proj", "k_norm")):
            divided.append(tensor)
            continue
        others = tuple(i for i in tensor.layers or () if i not in owners)
        divided += [tensor.only(owners), replace(tensor.only(others), buffer=True)]
    return divided


def mlps(config: Fields, dims: Decoder, layer: str) -> list[Tensor]:
    """A gated MLP of every layer's own width, or of one width for all.

    Raises:
        InputError: not one width per layer.
    """
    if isinstance(config.values.get("intermediate_size"), int):
        return dims.glu_mlp(f"{layer}.mlp")
    widths = config.counts("intermediate_size", minimum=1)
    if len(widths) != len(dims.layers):
        raise InputError(f"{config.where}: intermediate_size has {len(widths)} widths for {len(dims.layers)} layers")
    return [
        tensor
        for width in sorted(set(widths))
        for tensor in blocks.glu_mlp(
            f"{layer}.mlp",
            tuple(i for i in dims.layers if widths[i] == width),
            hidden_size=dims.hidden_size,
            intermediate_size=width,
        )
    ]


def per_layer_embeddings(config: Fields, dims: Decoder, prefix: str, layer: str) -> list[Tensor]:
    """A second table with a short vector for every layer, and what mixes it in."""
    short, role, layers = config.count("hidden_size_per_layer_input"), Role.OTHER, dims.layers
    width, together = dims.hidden_size, short * len(dims.layers)
    rows = config.count("vocab_size_per_layer_input")
    return [
        blocks.embedding(f"{prefix}.embed_tokens_per_layer.weight", rows, together),
        *blocks.linear(f"{prefix}.per_layer_model_projection", together, width, role, None, split=Split.COLUMN),
        *blocks.norm(f"{prefix}.per_layer_projection_norm", short, None),
        *blocks.linear(f"{layer}.per_layer_input_gate", short, width, role, layers),
        *blocks.linear(f"{layer}.per_layer_projection", width, short, role, layers),
        *blocks.norm(f"{layer}.post_per_layer_input_norm", width, layers),
    ]


def altup(config: Fields, dims: Decoder, prefix: str, layer: str) -> list[Tensor]:
    """Alternating updates: several residual streams, predicted and corrected around each layer."""
    streams, width, role = config.count("altup_num_inputs", default=4, maximum=1024), dims.hidden_size, Role.OTHER
    name, layers = f"{layer}.altup", dims.layers
    projections = [
        tensor
        for side in ("altup_projections", "altup_unembed_projections")
        for i in range(streams - 1)
        for tensor in blocks.linear(f"{prefix}.{side}.{i}", width, width, role, None, split=Split.COLUMN)
    ]
    return [
        *projections,
        blocks.vector(f"{name}.correct_output_scale", width, role, layers, dtype="float32"),
        *blocks.linear(f"{name}.correction_coefs", streams, streams, role, layers),
        *blocks.linear(f"{name}.prediction_coefs", streams**2, streams, role, layers),
        *blocks.linear(f"{name}.modality_router", streams, width, role, layers),
        *blocks.norm(f"{name}.router_norm", width, layers),
    ]


def laurel(config: Fields, dims: Decoder, prefix: str) -> list[Tensor]:
    """A learned low-rank residual beside attention."""
    rank, width, role = config.count("laurel_rank", default=64), dims.hidden_size, Role.OTHER
    return [
        *blocks.linear(f"{prefix}.linear_left", rank, width, role, dims.layers, split=Split.COLUMN),
        *blocks.linear(f"{prefix}.linear_right", width, rank, role, dims.layers, split=Split.ROW),
        *blocks.norm(f"{prefix}.post_laurel_norm", width, dims.layers),
    ]


def embedder(prefix: str, config: Fields, width_in: int, width: int, role: Role) -> list[Tensor]:
    """Brings a tower's output, or one of its own few tokens, to the text model's width."""
    tensors = [
        Tensor(f"{prefix}.embedding.weight", (config.count("vocab_size"), width_in), role, Kind.EMBEDDING),
        *blocks.norm(f"{prefix}.hard_embedding_norm", width_in, None),
        *blocks.norm(f"{prefix}.soft_embedding_norm", width_in, None),
        *blocks.linear(f"{prefix}.embedding_projection", width, width_in, role, None),
    ]
    return [replace(tensor, role=role) for tensor in tensors]
