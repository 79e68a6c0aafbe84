"""Ling and Ring 1 and 2.0 (Bailing MoE): fused query-key-value matrices, shared and routed experts.

No class of transformers reads them; names and shapes as in vLLM `models/bailing_moe.py`, totals equal to the Hub's.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.architectures._gqa_moe import rotary_dim
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Split


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `bailing_moe` configuration; 2.0 adds query and key norms and an expert bias."""
    moe.refuse(config, "use_qkv_bias", "use_bias")
    hidden, vocab = config.count("hidden_size"), config.count("vocab_size")
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = blocks.head_dim_of(config, hidden, heads)
    num_layers = config.layer_count("num_hidden_layers")
    every = tuple(range(num_layers))
    dense, sparse = moe.first_dense(num_layers, config.count("first_k_dense_replace", minimum=0))
    width, shared = config.count("moe_intermediate_size"), config.expert_count("num_shared_experts", minimum=0)
    segments = blocks.fused_qkv_segments(heads, kv_heads, head_dim)
    layer, table = "model.layers.{layer}", "model.word_embeddings.weight"
    tied = table if config.flag("tie_word_embeddings", default=False) else None
    tensors = [
        blocks.embedding(table, vocab, hidden),
        *blocks.norm("model.norm", hidden, None),
        *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=tied),
        *blocks.norm(f"{layer}.input_layernorm", hidden, every),
        *blocks.linear(
            f"{layer}.attention.query_key_value", sum(s.size for s in segments), hidden, Role.ATTENTION, every,
            split=Split.COLUMN, segments=segments,
        ),
        *blocks.linear(
            f"{layer}.attention.dense", hidden, heads * head_dim, Role.ATTENTION, every,
            split=Split.ROW, segments=blocks.heads(heads, head_dim),
        ),
        *blocks.norm(f"{layer}.post_attention_layernorm", hidden, every),
        *moe.mixture(
            f"{layer}.mlp", sparse,
            hidden_size=hidden, intermediate_size=width,
            experts=config.expert_count("num_experts"), per_token=config.expert_count("num_experts_per_tok"),
            shared_intermediate_size=width * shared,
            correction="gate.expert_bias" if config.flag("moe_router_enable_expert_bias", default=False) else "",
        ),
    ]  # fmt: skip
    if config.flag("use_qk_norm", default=False):
        tensors += moe.head_norms(f"{layer}.attention", every, head_dim, ("query_layernorm", "key_layernorm"))
    if dense:
        inner = config.count("intermediate_size")
        tensors += blocks.glu_mlp(f"{layer}.mlp", dense, hidden_size=hidden, intermediate_size=inner)
    return blocks.assemble(
        config, family="bailing_moe", num_layers=num_layers, hidden_size=hidden, tensors=tensors,
        caches=blocks.kv_cache(every, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(every, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, rotary_dim(config, head_dim)),
        shared_experts=shared,
    )  # fmt: skip
