"""Nemotron-4 and Minitron: squared ReLU between two matrices, LayerNorms, half of each head rotated.

Names: transformers `models/nemotron`; checkpoints `nvidia/Minitron-*-Base`, `nvidia/Nemotron-4-340B-*` (converted).
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder, partial_rotary_dim
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `nemotron` configuration."""
    dims = decoder(config, "nemotron")
    layer = "model.layers.{layer}"
    bias = config.flag("attention_bias", default=False)
    return dims.finish(
        [
            *stem(
                config,
                dims.hidden_size,
                table="model.embed_tokens",
                final_norm="model.norm",
                tied_by_default=False,
            ),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm", bias=True),
            *dims.attention(f"{layer}.self_attn", qkv_bias=bias, out_bias=bias),
            *dims.plain_mlp(f"{layer}.mlp", bias=config.flag("mlp_bias", default=False)),
        ],
        ropes=blocks.rope_of(
            config, partial_rotary_dim(config, dims.head_dim, "rope_percent", "rope_percentage", default=0.5)
        ),
    )
