"""Phi-1, Phi-1.5 and Phi-2: attention and MLP side by side, biases everywhere, part of each head rotated.

Names: transformers `models/phi`; the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder, partial_rotary_dim
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `phi` configuration."""
    dims = decoder(config, "phi")
    layer = "model.layers.{layer}"
    head_norms: list[Tensor] = []
    if config.flag("qk_layernorm", default=False):
        for name in ("q_layernorm", "k_layernorm"):
            head_norms += blocks.norm(f"{layer}.self_attn.{name}", dims.head_dim, dims.layers, bias=True)
    return dims.finish(
        [
            *stem(
                config,
                dims.hidden_size,
                table="model.embed_tokens",
                final_norm="model.final_layernorm",
                tied_by_default=False,
                head_bias=True,
            ),
            *dims.norms(layer, "input_layernorm", bias=True),
            *dims.attention(
                f"{layer}.self_attn", qkv_bias=True, out_bias=True, names=("q_proj", "k_proj", "v_proj", "dense")
            ),
            *head_norms,
            *dims.plain_mlp(f"{layer}.mlp", bias=True, names=("fc1", "fc2")),
        ],
        ropes=blocks.rope_of(config, partial_rotary_dim(config, dims.head_dim, default=0.5)),
    )
