"""Phi-3 and Phi-4: llama with fused query-key-value and gate-up matrices.

Names: transformers `models/phi3`; the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import Decoder, decoder, everywhere, partial_rotary_dim
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Rope


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `phi3` configuration."""
    dims = decoder(config, "phi3")
    layer = "model.layers.{layer}"
    positions = config.maybe_count("max_position_embeddings")
    window = config.maybe_count("sliding_window")
    # The long-context releases state a window beyond their context: it never closes.
    window = None if window and positions and window >= positions else window
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm"),
            *dims.fused_attention(f"{layer}.self_attn.qkv_proj", f"{layer}.self_attn.o_proj"),
            *dims.fused_glu_mlp(
                f"{layer}.mlp.gate_up_proj", f"{layer}.mlp.down_proj", config.count("intermediate_size")
            ),
        ],
        windows=everywhere(window, len(dims.layers)),
        ropes=ropes(config, dims, positions),
    )


def ropes(config: Fields, dims: Decoder, positions: int | None) -> tuple[Rope, ...]:
    """One table; long releases keep the short one before the long one (vLLM `Phi3LongRoPEScaledRotaryEmbedding`)."""
    rotary = partial_rotary_dim(config, dims.head_dim, default=1.0)
    original = config.maybe_count("original_max_position_embeddings")
    if positions is None or original is None or original >= positions:
        return blocks.rope_of(config, rotary)
    return (Rope(rotary, positions + original),)
