"""DeepSeek-MoE, the first generation: llama attention, then DeepSeek's shared and fine-grained experts.

Names: checkpoint `deepseek-ai/deepseek-moe-16b-base`, `modeling_deepseek.py`.
"""

from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures.deepseek import sparse_layers
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `deepseek` configuration."""
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    inner = config.count("moe_intermediate_size")
    shared = config.count("n_shared_experts", default=0, minimum=0)
    bias = config.flag("attention_bias", default=False)
    sparse = sparse_layers(config, num_layers)
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim, config.count("intermediate_size"), inner,
        config.expert_count("n_routed_experts"), config.expert_count("num_experts_per_tok"), shared * inner,
        qkv_bias=bias, out_bias=bias,
    )  # fmt: skip
    return gqa_moe.decoder(
        config, design,
        family="deepseek",
        dense=tuple(i for i in range(num_layers) if i not in sparse),
        sparse=sparse,
        shared_experts=shared,
    )  # fmt: skip
