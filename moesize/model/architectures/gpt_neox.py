"""GPT-NeoX and Pythia: fused attention with interleaved heads, partly rotated; head and embedding apart.

Names: transformers `models/gpt_neox`; checkpoints `EleutherAI/gpt-neox-20b`, `EleutherAI/pythia-*`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder, partial_rotary_dim
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gpt_neox` configuration."""
    dims = decoder(config, "gpt_neox")
    layer = "gpt_neox.layers.{layer}"
    bias = config.flag("attention_bias", default=True)
    return dims.finish(
        [
            *stem(
                config,
                dims.hidden_size,
                table="gpt_neox.embed_in",
                final_norm="gpt_neox.final_layer_norm",
                tied_by_default=False,
                head="embed_out",
            ),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm", bias=True),
            *dims.fused_attention(
                f"{layer}.attention.query_key_value", f"{layer}.attention.dense", qkv_bias=bias, out_bias=bias
            ),
            *dims.plain_mlp(f"{layer}.mlp", bias=True, names=("dense_h_to_4h", "dense_4h_to_h")),
        ],
        ropes=blocks.rope_of(config, partial_rotary_dim(config, dims.head_dim, "rotary_pct", default=0.25)),
    )
