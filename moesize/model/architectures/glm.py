"""GLM-4 (dense, as converted for transformers): partly rotated heads, fused gate and up, two more norms in GLM-4-0414.

Names: transformers `models/glm`, `models/glm4`; the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder, partial_rotary_dim
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `glm` or `glm4` configuration."""
    family = config.text("model_type")
    dims = decoder(config, family, head_dim=128)
    layer = "model.layers.{layer}"
    norms = ["input_layernorm", "post_attention_layernorm"]
    if family == "glm4":
        norms += ["post_self_attn_layernorm", "post_mlp_layernorm"]
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size),
            *dims.norms(layer, *norms),
            *dims.attention(f"{layer}.self_attn", qkv_bias=config.flag("attention_bias", default=True)),
            *dims.fused_glu_mlp(
                f"{layer}.mlp.gate_up_proj", f"{layer}.mlp.down_proj", config.count("intermediate_size")
            ),
        ],
        ropes=blocks.rope_of(config, partial_rotary_dim(config, dims.head_dim, default=0.5)),
    )
