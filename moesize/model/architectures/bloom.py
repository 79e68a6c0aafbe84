"""BLOOM: ALiBi, a norm right behind the embedding, fused attention with interleaved heads.

Names: transformers `models/bloom`; checkpoints `bigscience/bloom*` store them without the `transformer.` in front.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `bloom` configuration."""
    dims = decoder(config, "bloom")
    layer = "transformer.h.{layer}"
    return dims.finish(
        [
            *stem(config, dims.hidden_size, table="transformer.word_embeddings", final_norm="transformer.ln_f"),
            *blocks.norm("transformer.word_embeddings_layernorm", dims.hidden_size, None, bias=True),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm", bias=True),
            *dims.fused_attention(
                f"{layer}.self_attention.query_key_value",
                f"{layer}.self_attention.dense",
                qkv_bias=True,
                out_bias=True,
            ),
            *dims.plain_mlp(
                f"{layer}.mlp",
                intermediate_size=4 * dims.hidden_size,
                bias=True,
                names=("dense_h_to_4h", "dense_4h_to_h"),
            ),
        ],
        ropes=(),
        context_length=config.maybe_count("seq_length"),
    )
