"""Apertus: norms on each head, an MLP of two matrices around an activation with two learned numbers.

Names: transformers `models/apertus`; checkpoints `swiss-ai/Apertus-*`. The activation's `beta` and `eps` are constants.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe
from moesize.model.architectures._decoder import decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `apertus` configuration."""
    dims = decoder(config, "apertus")
    layer = "model.layers.{layer}"
    bias = config.flag("attention_bias", default=False)
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size),
            *dims.norms(layer, "attention_layernorm", "feedforward_layernorm"),
            *dims.attention(f"{layer}.self_attn", qkv_bias=bias, out_bias=bias),
            *_moe.head_norms(f"{layer}.self_attn", dims.layers, dims.head_dim),
            *dims.plain_mlp(f"{layer}.mlp"),
            *(blocks.vector(f"{layer}.mlp.act_fn.{name}", 1, Role.MLP, dims.layers) for name in ("alpha_p", "alpha_n")),
        ]
    )
