"""StarCoder2: grouped queries, biases everywhere, a plain MLP, a window in every layer of the larger two.

Names: transformers `models/starcoder2`; the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder, everywhere
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `starcoder2` configuration."""
    dims = decoder(config, "starcoder2")
    layer = "model.layers.{layer}"
    bias = config.flag("use_bias", default=True)
    table, vocab = "model.embed_tokens.weight", config.count("vocab_size")
    tied = table if config.flag("tie_word_embeddings", default=True) else None
    return dims.finish(
        [
            blocks.embedding(table, vocab, dims.hidden_size),
            *blocks.norm("model.norm", dims.hidden_size, None, bias=True),
            *blocks.lm_head("lm_head.weight", vocab, dims.hidden_size, tied_to=tied),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm", bias=True),
            *dims.attention(f"{layer}.self_attn", qkv_bias=bias, out_bias=bias),
            *dims.plain_mlp(f"{layer}.mlp", bias=bias, names=("c_fc", "c_proj")),
        ],
        windows=everywhere(config.maybe_count("sliding_window"), len(dims.layers)),
    )
