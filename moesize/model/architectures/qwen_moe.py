"""Qwen2-MoE and Qwen3-MoE: a layer is a mixture unless `mlp_only_layers` or `decoder_sparse_step` say otherwise.

Names: transformers `models/qwen2_moe`, `models/qwen3_moe`; the checkpoints store each expert by itself.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._moe import head_norms, mixture
from moesize.model.architectures.llama import Windows, by_layer_type, windowed_caches, windowed_products
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `qwen2_moe` or `qwen3_moe` configuration."""
    family = config.text("model_type")
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = blocks.head_dim_of(config, hidden, heads)
    sparse = sparse_layers(config, len(layers))
    dense = tuple(i for i in layers if i not in sparse)
    second = family == "qwen2_moe"
    attention_bias = not second and config.flag("attention_bias", default=False)
    windows = _windows(config, family, layers)
    return blocks.assemble(
        config,
        family=family,
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm("model.layers.{layer}.input_layernorm", hidden, layers),
            *blocks.gqa(
                "model.layers.{layer}.self_attn", layers,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
                qkv_bias=config.flag("qkv_bias", default=True) if second else attention_bias,
                out_bias=attention_bias,
            ),
            *(() if second else head_norms("model.layers.{layer}.self_attn", layers, head_dim)),
            *blocks.norm("model.layers.{layer}.post_attention_layernorm", hidden, layers),
            *(_mixture(config, hidden, sparse, shared=second) if sparse else ()),
            *(
                blocks.glu_mlp(
                    "model.layers.{layer}.mlp", dense,
                    hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
                )
                if dense else ()
            ),
        ],
        caches=windowed_caches(windows, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=windowed_products(windows, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
        shared_experts=1 if second else 0,
    )  # fmt: skip


def sparse_layers(config: Fields, num_layers: int) -> tuple[int, ...]:
    """Layers that are mixtures: every `decoder_sparse_step`-th, without `mlp_only_layers`.

    Raises:
        InputError: `mlp_only_layers` names a layer that is not there.
    """
    step = config.count("decoder_sparse_step", default=1)
    dense = config.counts("mlp_only_layers", default=())
    for layer in dense:
        if layer >= num_layers:
            raise InputError(f"{config.where}: mlp_only_layers names layer {layer}, but the model has {num_layers}")
    return tuple(i for i in range(num_layers) if i not in dense and (i + 1) % step == 0)


def _mixture(config: Fields, hidden_size: int, layers: tuple[int, ...], *, shared: bool) -> list[Tensor]:
    mlp = "model.layers.{layer}.mlp"
    tensors = mixture(
        mlp, layers,
        hidden_size=hidden_size, intermediate_size=config.count("moe_intermediate_size"),
        experts=config.expert_count("num_experts", "num_local_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=config.count("shared_expert_intermediate_size") if shared else 0,
        shared="shared_expert",
    )  # fmt: skip
    if shared:
        # One row that weighs the shared expert's output: quantisers leave it alone as they do the router.
        tensors += blocks.linear(f"{mlp}.shared_expert_gate", 1, hidden_size, Role.ROUTER, layers)
    return tensors


def _windows(config: Fields, family: str, layers: tuple[int, ...]) -> Windows:
    """Qwen2-MoE lets every other layer below `max_window_layers` see a window; Qwen3-MoE all or none."""
    if not config.flag("use_sliding_window", default=False):
        return [(layers, None)]
    window = config.maybe_count("sliding_window")
    if family == "qwen3_moe":
        return [(layers, window)]
    limit = config.count("max_window_layers", minimum=0)
    types = ("sliding_attention" if i % 2 == 0 and i < limit else "full_attention" for i in layers)
    return by_layer_type(config, config.layer_types(len(layers), types), window)
