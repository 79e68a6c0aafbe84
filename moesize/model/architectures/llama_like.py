"""Published under names of their own, but llama but for biases, a norm or a gate.

Granite, InternLM3, SmolLM3, XVERSE, ERNIE 4.5 (dense), Seed-OSS and Helium; Hunyuan (dense) norms each head's query and
key; Arcee's MLP has no gate. Names: transformers `models/` of the same name; vLLM reads `xverse` with its llama class.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe
from moesize.model.architectures._decoder import decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

#: Families whose configuration class ties the head to the embedding unless told otherwise.
TIED = ("ernie4_5", "smollm3")
#: Families whose configuration class knows the width of a head when the file leaves it out.
HEAD_DIMS = {"ernie4_5": 128, "helium": 128, "seed_oss": 128}
HEAD_NORMS = ("query_layernorm", "key_layernorm")


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of any of these configurations."""
    family = config.text("model_type")
    dims = decoder(config, family, head_dim=HEAD_DIMS.get(family))
    layer = "model.layers.{layer}"
    qkv_bias, out_bias, mlp_bias = biases(config, family)
    head_norms = family == "hunyuan_v1_dense"
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size, tied_by_default=family in TIED),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm"),
            *dims.attention(f"{layer}.self_attn", qkv_bias=qkv_bias, out_bias=out_bias),
            *(_moe.head_norms(f"{layer}.self_attn", dims.layers, dims.head_dim, HEAD_NORMS) if head_norms else ()),
            *(
                dims.plain_mlp(f"{layer}.mlp", bias=mlp_bias)
                if family == "arcee"
                else dims.glu_mlp(f"{layer}.mlp", bias=mlp_bias)
            ),
        ]
    )


def biases(config: Fields, family: str) -> tuple[bool, bool, bool]:
    """Whether queries, keys and values, the attention's output, and the MLP have biases, in each family's own words."""
    if family == "ernie4_5":
        every = config.flag("use_bias", default=False)
        return every, every, every
    if family == "seed_oss":
        qkv, out = config.flag("attention_bias", default=True), config.flag("attention_out_bias", default=False)
        return qkv, out, config.flag("mlp_bias", default=False)
    if family == "hunyuan_v1_dense":
        both = config.flag("attention_bias", default=False)
        return both, both, False
    # InternLM3's own class says `bias` and `qkv_bias` where transformers' says `mlp_bias` and `attention_bias`.
    attention = config.flag("attention_bias", "bias", default=False)
    qkv, mlp = config.flag("qkv_bias", default=attention), config.flag("mlp_bias", "bias", default=False)
    return qkv, attention and family != "helium", mlp
