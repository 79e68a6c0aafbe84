"""Published under names of their own, but llama tensor for tensor: Granite, InternLM3, SmolLM3, XVERSE.

Names: transformers `models/granite`, `models/smollm3`, `models/internlm3`; vLLM reads `xverse` with its llama class.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

#: Families whose configuration class ties the head to the embedding unless told otherwise.
TIED = ("smollm3",)


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `granite`, `internlm3`, `smollm3` or `xverse` configuration."""
    family = config.text("model_type")
    dims = decoder(config, family)
    layer = "model.layers.{layer}"
    # InternLM3's own class says `bias` and `qkv_bias` where transformers' says `mlp_bias` and `attention_bias`.
    attention_bias = config.flag("attention_bias", "bias", default=False)
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size, tied_by_default=family in TIED),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm"),
            *dims.attention(
                f"{layer}.self_attn",
                qkv_bias=config.flag("qkv_bias", default=attention_bias),
                out_bias=attention_bias,
            ),
            *dims.glu_mlp(f"{layer}.mlp", bias=config.flag("mlp_bias", "bias", default=False)),
        ]
    )
