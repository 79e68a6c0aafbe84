"""MiniMax-M2 to M2.7: every layer a mixture, one norm over all query heads and one over all key heads.

Names: transformers `models/minimax_m2`, checkpoint `MiniMaxAI/MiniMax-M2`; vLLM `models/minimax_m2.py` keeps the router
in float32 and splits the query and key norms over ranks.
"""

from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `minimax_m2` configuration."""
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=0,
        moe_intermediate_size=config.count("intermediate_size"),
        experts=config.expert_count("num_local_experts", "num_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        qk_norm="wide_sharded",
        mlp="block_sparse_moe",
        gate_dtype="float32",
        correction="e_score_correction_bias",
        expert_names=("w1", "w3", "w2"),
    )  # fmt: skip
    sparse = tuple(range(config.layer_count("num_hidden_layers")))
    return gqa_moe.decoder(config, design, family="minimax_m2", dense=(), sparse=sparse)
