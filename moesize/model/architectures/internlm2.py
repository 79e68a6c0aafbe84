"""InternLM2 and 2.5: llama with a fused query-key-value matrix and names of its own.

Names: checkpoint `internlm/internlm2-7b` and vLLM `models/internlm2.py`. A key-value group's queries stand before its
key and its value in `wqkv`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `internlm2` configuration."""
    dims = decoder(config, "internlm2")
    layer = "model.layers.{layer}"
    bias = config.flag("bias", default=False)
    table, vocab = "model.tok_embeddings.weight", config.count("vocab_size")
    tied = table if config.flag("tie_word_embeddings", default=False) else None
    return dims.finish(
        [
            blocks.embedding(table, vocab, dims.hidden_size),
            *blocks.norm("model.norm", dims.hidden_size, None),
            *blocks.lm_head("output.weight", vocab, dims.hidden_size, tied_to=tied),
            *dims.norms(layer, "attention_norm", "ffn_norm"),
            *dims.fused_attention(f"{layer}.attention.wqkv", f"{layer}.attention.wo", qkv_bias=bias, out_bias=bias),
            *dims.glu_mlp(f"{layer}.feed_forward", names=("w1", "w3", "w2")),
        ]
    )
