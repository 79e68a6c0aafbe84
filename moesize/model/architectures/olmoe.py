"""OLMoE, and FlexOlmo whose norms stand behind attention and MLP instead of before them.

Names: transformers `models/olmoe`, `models/flex_olmo`.
"""

from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `olmoe` or `flex_olmo` configuration."""
    moe.refuse(config, "attention_bias")
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    flexible = config.text("model_type", default="olmoe") == "flex_olmo"
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=0,
        moe_intermediate_size=config.count("intermediate_size"),
        experts=config.expert_count("num_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        qk_norm="wide",
        norms=(
            ("post_attention_layernorm", "post_feedforward_layernorm")
            if flexible
            else ("input_layernorm", "post_attention_layernorm")
        ),
    )  # fmt: skip
    sparse = tuple(range(config.layer_count("num_hidden_layers")))
    return gqa_moe.decoder(config, design, family="olmoe", dense=(), sparse=sparse)
