"""Phi-3-small: biases everywhere, LayerNorms, fused matrices; half its layers attend to blocks but keep every key.

Names: checkpoint `microsoft/Phi-3-small-8k-instruct` and vLLM `models/phi3_small.py` (v0.6).
"""

from moesize.model.architectures._decoder import decoder
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `phi3small` configuration."""
    dims = decoder(config, "phi3small")
    layer = "model.layers.{layer}"
    inner = config.count("ff_intermediate_size", "intermediate_size")
    mlp = f"{layer}.mlp"
    return dims.finish(
        [
            *stem(config, dims.hidden_size, table="model.embed_tokens", final_norm="model.final_layernorm"),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm", bias=True),
            *dims.fused_attention(
                f"{layer}.self_attn.query_key_value", f"{layer}.self_attn.dense", qkv_bias=True, out_bias=True
            ),
            *dims.fused_glu_mlp(f"{mlp}.up_proj", f"{mlp}.down_proj", inner, bias=True),
        ]
    )
