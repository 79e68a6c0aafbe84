"""JetMoE: attention is a mixture too, of query and output projections over shared keys and values.

Names: transformers `models/jetmoe`, checkpoint `jetmoe/jetmoe-8b`, which stores experts stacked.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Segment, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `jetmoe` configuration; each chosen expert brings `num_key_value_heads` query heads."""
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    kv_heads, head_dim = config.count("num_key_value_heads"), config.count("kv_channels", "head_dim")
    per_token, inner = config.expert_count("num_experts_per_tok"), config.count("intermediate_size")
    width = kv_heads * head_dim
    layer = "model.layers.{layer}"
    kv = Segment(width, kv_heads, replicable=True)
    return blocks.assemble(
        config,
        family="jetmoe",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden, tied_by_default=True),
            *blocks.norm(f"{layer}.input_layernorm", hidden, layers),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, layers),
            *blocks.linear(
                f"{layer}.self_attention.kv_proj", 2 * width, hidden, Role.ATTENTION, layers,
                split=Split.COLUMN, segments=(kv, kv),
            ),
            *_mixture(config, f"{layer}.self_attention.experts", layers, hidden, rows=width, width=width),
            *_mixture(config, f"{layer}.mlp", layers, hidden, rows=2 * inner, width=inner),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(layers, num_heads=kv_heads * per_token, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
    )  # fmt: skip


def _mixture(
    config: Fields, prefix: str, layers: tuple[int, ...], hidden_size: int, *, rows: int, width: int
) -> list[Tensor]:
    """Router, the experts' input and output matrices, and the bias they share."""
    experts, per_token = config.expert_count("num_local_experts"), config.expert_count("num_experts_per_tok")
    into, out = f"{prefix}.input_linear.weight", f"{prefix}.output_linear.weight"
    return [
        *blocks.router(f"{prefix}.router.layer", experts, hidden_size, layers),
        blocks.expert_matrix(into, rows, hidden_size, layers, experts, per_token, Split.COLUMN),
        blocks.expert_matrix(out, hidden_size, width, layers, experts, per_token, Split.ROW),
        blocks.vector(f"{prefix}.bias", hidden_size, Role.ROUTED_EXPERT, layers),
    ]
