"""gpt-oss: alternating windows, attention sinks, biases everywhere, experts stored stacked and transposed.

Names: transformers `models/gpt_oss`, checkpoint `openai/gpt-oss-20b` (there in MXFP4 `_blocks` and `_scales`).
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures.llama import by_layer_type, windowed_caches, windowed_products
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gpt_oss` configuration."""
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads")
    head_dim = blocks.head_dim_of(config, hidden, heads)
    experts = config.expert_count("num_local_experts", "num_experts")
    bias = config.flag("attention_bias", default=True)
    types = config.layer_types(len(layers), ("full_attention" if i % 2 else "sliding_attention" for i in layers))
    windows = by_layer_type(config, types, config.count("sliding_window"))
    return blocks.assemble(
        config,
        family="gpt_oss",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm("model.layers.{layer}.input_layernorm", hidden, layers),
            *blocks.gqa(
                "model.layers.{layer}.self_attn", layers,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
                qkv_bias=bias, out_bias=bias,
            ),
            blocks.vector(
                "model.layers.{layer}.self_attn.sinks", heads, Role.ATTENTION, layers,
                split=Split.COLUMN, segments=blocks.heads(heads, 1),
            ),
            *blocks.norm("model.layers.{layer}.post_attention_layernorm", hidden, layers),
            *blocks.router("model.layers.{layer}.mlp.router", experts, hidden, layers, bias=True),
            *_experts(config, hidden, experts, layers),
        ],
        caches=windowed_caches(windows, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=windowed_products(windows, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim, dtype="float32"),  # vLLM keeps this one exact
    )  # fmt: skip


def _experts(config: Fields, hidden_size: int, experts: int, layers: tuple[int, ...]) -> list[Tensor]:
    prefix = "model.layers.{layer}.mlp.experts"
    inner = config.count("intermediate_size")
    per_token = config.expert_count("num_experts_per_tok", "experts_per_token")

    def bias(name: str, size: int, split: Split) -> Tensor:
        return Tensor(
            f"{prefix}.{name}", (size,), Role.ROUTED_EXPERT, Kind.VECTOR, layers,
            experts=experts, active_experts=per_token, split=split,
        )  # fmt: skip

    return [
        blocks.expert_matrix(
            f"{prefix}.gate_up_proj", 2 * inner, hidden_size, layers, experts, per_token, Split.COLUMN, transposed=True
        ),
        bias("gate_up_proj_bias", 2 * inner, Split.COLUMN),
        blocks.expert_matrix(
            f"{prefix}.down_proj", hidden_size, inner, layers, experts, per_token, Split.ROW, transposed=True
        ),
        bias("down_proj_bias", hidden_size, Split.REPLICATED),
    ]
