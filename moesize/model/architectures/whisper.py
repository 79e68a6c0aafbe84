"""Whisper: an audio encoder of fixed length and a decoder that looks at it through cross-attention.

Names: transformers `models/whisper`; checkpoints `openai/whisper-*` use the same. Layers are numbered within their
stack, as there.
"""

from dataclasses import replace

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._early import learned_positions
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, CacheKind, Kind, ModelSpec, Role, Tensor

NAMES = ("q_proj", "k_proj", "v_proj", "out_proj")


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `whisper` configuration."""
    width = config.count("d_model")
    encoder = tuple(range(config.layer_count("encoder_layers")))
    decoder = tuple(range(config.layer_count("decoder_layers")))
    heads = config.count("decoder_attention_heads")
    encoder_heads = config.count("encoder_attention_heads")
    head_dim, vocab = width // heads, config.count("vocab_size")
    targets = config.count("max_target_positions")
    table = "model.decoder.embed_tokens.weight"
    stack = "model.decoder.layers.{layer}"
    return blocks.assemble(
        config,
        family="whisper",
        num_layers=len(encoder) + len(decoder),
        hidden_size=width,
        tensors=[
            *audio_encoder(config, width, encoder, encoder_heads),
            blocks.embedding(table, vocab, width),
            learned_positions("model.decoder.embed_positions.weight", targets, width),
            *layer_blocks(stack, decoder, width, heads, config.count("decoder_ffn_dim")),
            *attention(f"{stack}.encoder_attn", decoder, width, heads),
            *blocks.norm(f"{stack}.encoder_attn_layer_norm", width, decoder, bias=True),
            *blocks.norm("model.decoder.layer_norm", width, None, bias=True),
            *blocks.lm_head("proj_out.weight", vocab, width, tied_to=table),
        ],
        caches=[
            Cache(CacheKind.FULL, decoder, heads, head_dim, head_dim),
            Cache(CacheKind.CROSS, decoder, heads, head_dim, head_dim),
        ],
        attentions=[
            Attention(encoder, encoder_heads, width // encoder_heads, width // encoder_heads, causal=False),
            Attention(decoder, heads, head_dim, head_dim),
            Attention(decoder, heads, head_dim, head_dim, causal=False),
        ],
        context_length=targets,
    )


def audio_encoder(config: Fields, width: int, layers: tuple[int, ...], heads: int) -> list[Tensor]:
    """Two convolutions over the spectrogram, positions, and the encoder's layers."""
    prefix, role = "model.encoder", Role.AUDIO
    tensors = [
        Tensor(f"{prefix}.conv1.weight", (width, config.count("num_mel_bins"), 3), role, Kind.CONV),
        blocks.vector(f"{prefix}.conv1.bias", width, role, None),
        Tensor(f"{prefix}.conv2.weight", (width, width, 3), role, Kind.CONV),
        blocks.vector(f"{prefix}.conv2.bias", width, role, None),
        Tensor(
            f"{prefix}.embed_positions.weight", (config.count("max_source_positions"), width), role, Kind.EMBEDDING
        ),
        *layer_blocks(f"{prefix}.layers.{{layer}}", layers, width, heads, config.count("encoder_ffn_dim")),
        *blocks.norm(f"{prefix}.layer_norm", width, None, bias=True),
    ]  # fmt: skip
    return [replace(tensor, role=role) for tensor in tensors]


def layer_blocks(stack: str, layers: tuple[int, ...], width: int, heads: int, inner: int) -> list[Tensor]:
    """Self-attention and MLP of a layer, each behind its norm."""
    return [
        *attention(f"{stack}.self_attn", layers, width, heads),
        *blocks.norm(f"{stack}.self_attn_layer_norm", width, layers, bias=True),
        *blocks.plain_mlp(
            stack, layers, hidden_size=width, intermediate_size=inner, bias=True, names=("fc1", "fc2")
        ),
        *blocks.norm(f"{stack}.final_layer_norm", width, layers, bias=True),
    ]  # fmt: skip


def attention(prefix: str, layers: tuple[int, ...], width: int, heads: int) -> list[Tensor]:
    """Four matrices with biases, but for the keys'."""
    tensors = blocks.gqa(
        prefix, layers, hidden_size=width, num_heads=heads, num_kv_heads=heads, head_dim=width // heads,
        qkv_bias=True, out_bias=True, names=NAMES,
    )  # fmt: skip
    return [tensor for tensor in tensors if not tensor.name.endswith("k_proj.bias")]
