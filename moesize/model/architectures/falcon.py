"""Falcon: one key-value head for all queries, or groups in the new decoder; attention and MLP side by side.

Names: transformers `models/falcon`; checkpoints `tiiuae/falcon-*` use the same. (Falcon 3 is built like Llama.)
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `falcon` configuration."""
    heads = config.count("num_attention_heads", "n_head")
    dims = decoder(config, "falcon", kv_heads=kv_heads(config, heads))
    width, bias = dims.hidden_size, config.flag("bias", default=False)
    layer = "transformer.h.{layer}"
    table = "transformer.word_embeddings.weight"
    vocab = config.count("vocab_size")
    tied = table if config.flag("tie_word_embeddings", default=True) else None
    # The configuration class knows the length; the files leave it out.
    positions = config.count("max_position_embeddings", default=2048)
    sized = Fields({**config.values, "max_position_embeddings": positions}, config.where)
    alibi = config.flag("alibi", default=False)
    return dims.finish(
        [
            blocks.embedding(table, vocab, width),
            *blocks.norm("transformer.ln_f", width, None, bias=True),
            *blocks.lm_head("lm_head.weight", vocab, width, tied_to=tied),
            *dims.norms(layer, *norm_names(config), bias=True),
            *dims.fused_attention(
                f"{layer}.self_attention.query_key_value",
                f"{layer}.self_attention.dense",
                qkv_bias=bias,
                out_bias=bias,
            ),
            *dims.plain_mlp(
                f"{layer}.mlp",
                intermediate_size=config.count("ffn_hidden_size", default=4 * width),
                bias=bias,
                names=("dense_h_to_4h", "dense_4h_to_h"),
            ),
        ],
        ropes=() if alibi else blocks.rope_of(sized, dims.head_dim),
        context_length=positions,
    )


def kv_heads(config: Fields, heads: int) -> int:
    """Groups in the new decoder, one with multi-query, else as many as queries."""
    if config.flag("new_decoder_architecture", default=False):
        return config.count("num_kv_heads", "n_head_kv", default=heads)
    return 1 if config.flag("multi_query", default=True) else heads


def norm_names(config: Fields) -> tuple[str, ...]:
    """One norm before both blocks, one before each, or one after the other where the blocks are not parallel."""
    parallel = config.flag("parallel_attn", default=True)
    if config.flag("new_decoder_architecture", default=False) and parallel:
        two = config.count("num_ln_in_parallel_attn", default=2) == 2
        return ("ln_attn", "ln_mlp") if two else ("input_layernorm",)
    return ("input_layernorm",) if parallel else ("input_layernorm", "post_attention_layernorm")
