"""ChatGLM2, ChatGLM3 and GLM-4-9B as first released: fused matrices, few key-value heads, the head `output_layer`.

Names: checkpoint `zai-org/glm-4-9b` (`model.safetensors.index.json`) and vLLM's reading of it, `models/chatglm.py`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import Decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `chatglm` configuration of the second generation or later."""
    vocab = config.count("padded_vocab_size", "vocab_size")
    usual = {"vocab_size": vocab, "max_position_embeddings": config.count("seq_length")}
    heads = config.count("num_attention_heads")
    grouped = config.flag("multi_query_attention", default=False)
    dims = Decoder(
        Fields({**config.values, **usual}, config.where),
        "chatglm",
        hidden_size=config.count("hidden_size"),
        layers=tuple(range(config.layer_count("num_layers"))),
        num_heads=heads,
        num_kv_heads=config.count("multi_query_group_num") if grouped else heads,
        head_dim=config.count("kv_channels"),
    )
    stem = "transformer.encoder"
    layer = f"{stem}.layers.{{layer}}"
    bias = config.flag("add_bias_linear", default=False)
    table = "transformer.embedding.word_embeddings.weight"
    tied = table if config.flag("tie_word_embeddings", default=False) else None
    final = blocks.norm(f"{stem}.final_layernorm", dims.hidden_size, None)
    return dims.finish(
        [
            blocks.embedding(table, vocab, dims.hidden_size),
            *(final if config.flag("post_layer_norm", default=True) else ()),
            *blocks.lm_head("transformer.output_layer.weight", vocab, dims.hidden_size, tied_to=tied),
            *dims.norms(layer, "input_layernorm", "post_attention_layernorm"),
            *dims.fused_attention(
                f"{layer}.self_attention.query_key_value",
                f"{layer}.self_attention.dense",
                qkv_bias=bias or config.flag("add_qkv_bias", default=False),
                out_bias=bias,
            ),
            *dims.fused_glu_mlp(
                f"{layer}.mlp.dense_h_to_4h", f"{layer}.mlp.dense_4h_to_h", config.count("ffn_hidden_size"), bias=bias
            ),
        ],
        ropes=blocks.rope_of(dims.config, dims.head_dim // 2),
    )
