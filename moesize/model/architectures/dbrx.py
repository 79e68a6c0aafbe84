"""DBRX: fused query-key-value matrices, sixteen experts stored one below the other in three matrices per layer.

Names: transformers `models/dbrx`, checkpoint `databricks/dbrx-instruct`. The third matrix of an expert is stored like
the first two and multiplied transposed.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Split


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `dbrx` configuration; an array of all experts is two-dimensional in the checkpoint."""
    attention, ffn = config.sub("attn_config"), config.sub("ffn_config")
    hidden, vocab, heads = config.count("d_model"), config.count("vocab_size"), config.count("n_heads")
    kv_heads = attention.count("kv_n_heads")
    head_dim = blocks.head_dim_of(Fields({}, config.where), hidden, heads)
    layers = tuple(range(config.layer_count("n_layers")))
    segments = blocks.fused_qkv_segments(heads, kv_heads, head_dim)
    experts, per_token = ffn.expert_count("moe_num_experts"), ffn.expert_count("moe_top_k")
    width = ffn.count("ffn_hidden_size")
    block = "transformer.blocks.{layer}"
    norm, mlp = f"{block}.norm_attn_norm", f"{block}.ffn.experts.mlp"
    positions = Fields({"max_position_embeddings": config.count("max_seq_len")}, config.where)
    return blocks.assemble(
        config,
        family="dbrx",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            blocks.embedding("transformer.wte.weight", vocab, hidden),
            *blocks.norm("transformer.norm_f", hidden, None),
            *blocks.lm_head("lm_head.weight", vocab, hidden),
            *blocks.norm(f"{norm}.norm_1", hidden, layers),
            *blocks.norm(f"{norm}.norm_2", hidden, layers),
            *blocks.linear(
                f"{norm}.attn.Wqkv", sum(s.size for s in segments), hidden, Role.ATTENTION, layers,
                split=Split.COLUMN, segments=segments,
            ),
            *blocks.linear(
                f"{norm}.attn.out_proj", hidden, hidden, Role.ATTENTION, layers,
                split=Split.ROW, segments=blocks.heads(heads, head_dim),
            ),
            *blocks.router(f"{block}.ffn.router.layer", experts, hidden, layers),
            blocks.expert_matrix(f"{mlp}.w1", width, hidden, layers, experts, per_token, Split.COLUMN),
            blocks.expert_matrix(f"{mlp}.v1", width, hidden, layers, experts, per_token, Split.COLUMN),
            blocks.expert_matrix(f"{mlp}.w2", hidden, width, layers, experts, per_token, Split.ROW, transposed=True),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(positions, head_dim),
        context_length=config.count("max_seq_len"),
    )  # fmt: skip
