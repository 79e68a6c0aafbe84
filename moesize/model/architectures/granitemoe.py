"""Granite 3 MoE and PowerMoE: every layer a mixture stored stacked; the shared variant has an expert for every token.

Names: transformers `models/granitemoe`, `models/granitemoeshared` and the conversion from
`ibm-granite/granite-3.0-1b-a400m-base`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.architectures._gqa_moe import attention_heads
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `granitemoe` or `granitemoeshared` configuration."""
    moe.refuse(config, "attention_bias")
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = attention_heads(config, hidden)
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    shared = config.count("shared_intermediate_size", default=0, minimum=0)
    layer = "model.layers.{layer}"
    return blocks.assemble(
        config,
        family="granitemoe",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm(f"{layer}.input_layernorm", hidden, layers),
            *blocks.gqa(
                f"{layer}.self_attn", layers,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, layers),
            *stacked_mixture(config, f"{layer}.block_sparse_moe", layers, hidden),
            *(fused_shared_mlp(f"{layer}.shared_mlp", layers, hidden, shared) if shared else ()),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
        shared_experts=1 if shared else 0,
    )  # fmt: skip


def stacked_mixture(config: Fields, prefix: str, layers: tuple[int, ...], hidden_size: int) -> list[Tensor]:
    """Router and experts, gate and up projection in one array."""
    experts, per_token = config.expert_count("num_local_experts"), config.expert_count("num_experts_per_tok")
    inner = config.count("intermediate_size")
    into, out = f"{prefix}.input_linear.weight", f"{prefix}.output_linear.weight"
    return [
        *blocks.router(f"{prefix}.router.layer", experts, hidden_size, layers),
        blocks.expert_matrix(into, 2 * inner, hidden_size, layers, experts, per_token, Split.COLUMN),
        blocks.expert_matrix(out, hidden_size, inner, layers, experts, per_token, Split.ROW),
    ]


def fused_shared_mlp(prefix: str, layers: tuple[int, ...], hidden_size: int, width: int) -> list[Tensor]:
    """The shared expert, gate and up projection in one matrix."""
    role = Role.SHARED_EXPERT
    return [
        *blocks.linear(f"{prefix}.input_linear", 2 * width, hidden_size, role, layers, split=Split.COLUMN),
        *blocks.linear(f"{prefix}.output_linear", hidden_size, width, role, layers, split=Split.ROW),
    ]
