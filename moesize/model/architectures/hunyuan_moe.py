"""Hunyuan-A13B and Hunyuan-Large: every layer a mixture with a shared expert, layers may read another one's keys (CLA).

Names: transformers `models/hunyuan_v1_moe`; vLLM `models/hunyuan_v1.py` for the layers that share.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role

_SHARING = (
    "layers without keys of their own read those of the layer before; an engine without CLA support keeps them twice"
)


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `hunyuan_v1_moe` or `hunyuan` configuration."""
    moe.refuse(config, "attention_bias", "mlp_bias")
    hidden = config.count("hidden_size")
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = config.maybe_count("head_dim", "attention_head_dim") or blocks.head_dim_of(config, hidden, heads)
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    owners = _owners(config, layers)
    sharers = tuple(i for i in layers if i not in owners)
    attention, mlp = "model.layers.{layer}.self_attn", "model.layers.{layer}.mlp"
    width = moe.uniform(config, "moe_intermediate_size", "intermediate_size")
    shared = moe.uniform(config, "num_shared_expert") if config.has("num_shared_expert") else 1
    sizes = {"num_kv_heads": kv_heads, "head_dim": head_dim}
    norms = ("query_layernorm", "key_layernorm") if config.flag("use_qk_norm", default=True) else ()
    queries = blocks.gqa(
        attention, sharers, hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim
    )
    return blocks.assemble(
        config,
        family="hunyuan_v1_moe",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm("model.layers.{layer}.input_layernorm", hidden, layers),
            *blocks.gqa(
                attention, owners, hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim
            ),
            *(t for t in queries if not t.name.endswith(("k_proj.weight", "v_proj.weight"))),
            *moe.head_norms(attention, layers, head_dim, norms),
            *blocks.norm("model.layers.{layer}.post_attention_layernorm", hidden, layers),
            *blocks.router(f"{mlp}.gate.wg", config.expert_count("num_experts"), hidden, layers),
            *blocks.glu_experts(
                f"{mlp}.experts", layers, hidden_size=hidden, intermediate_size=width,
                experts=config.expert_count("num_experts"), per_token=moe.uniform(config, "moe_topk"),
            ),
            *blocks.glu_mlp(
                f"{mlp}.shared_mlp", layers, hidden_size=hidden,
                intermediate_size=config.count("intermediate_size") * shared, role=Role.SHARED_EXPERT,
            ),
        ],
        caches=blocks.kv_cache(owners, **sizes),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
        shared_experts=shared,
        notes=(_SHARING,) if sharers else (),
    )  # fmt: skip


def _owners(config: Fields, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The layers that have keys and values of their own."""
    factor = config.count("cla_share_factor", default=1) if config.flag("use_cla", default=False) else 1
    return tuple(i for i in layers if i % factor == 0)
