"""Phi-3.5-MoE and its distilled siblings: LayerNorms, biased attention, 16 experts.

Names: transformers `models/phimoe` and its conversion from `microsoft/Phi-3.5-MoE-instruct`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `phimoe` configuration."""
    hidden, vocab = config.count("hidden_size"), config.count("vocab_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = blocks.head_dim_of(config, hidden, heads)
    window = config.maybe_count("sliding_window")
    bias = config.flag("attention_bias", default=False)
    experts = config.expert_count("num_local_experts")
    head_bias = config.flag("lm_head_bias", default=False)
    layer, table = "model.layers.{layer}", "model.embed_tokens.weight"
    tied = table if config.flag("tie_word_embeddings", default=False) else None
    return blocks.assemble(
        config,
        family="phimoe",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            blocks.embedding(table, vocab, hidden),
            *blocks.norm("model.norm", hidden, None, bias=True),
            *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=tied, bias=head_bias),
            *blocks.norm(f"{layer}.input_layernorm", hidden, layers, bias=True),
            *blocks.gqa(
                f"{layer}.self_attn", layers, hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads,
                head_dim=head_dim, qkv_bias=bias, out_bias=bias,
            ),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, layers, bias=True),
            *blocks.router(f"{layer}.block_sparse_moe.gate", experts, hidden, layers),
            *blocks.glu_experts(
                f"{layer}.block_sparse_moe.experts", layers, hidden_size=hidden,
                intermediate_size=config.count("intermediate_size"), experts=experts,
                per_token=config.expert_count("num_experts_per_tok"), names=("w1", "w3", "w2"),
            ),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim, window_tokens=window),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim, window_tokens=window),
        ropes=blocks.rope_of(config, head_dim),
    )  # fmt: skip
