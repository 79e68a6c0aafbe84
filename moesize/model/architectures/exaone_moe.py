"""K-EXAONE: three windowed layers to one full one, a dense first layer, one shared expert, a dense prediction layer.

Names: transformers `models/exaone_moe` and its conversion from `LGAI-EXAONE/K-EXAONE-236B-A23B`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `exaone_moe` configuration."""
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    width, shared = config.count("moe_intermediate_size"), config.expert_count("num_shared_experts", minimum=0)
    num_layers = config.layer_count("num_hidden_layers")
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=config.count("intermediate_size"),
        moe_intermediate_size=width,
        experts=config.expert_count("num_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=width * shared,
        qk_norm="head",
        correction="e_score_correction_bias",
    )  # fmt: skip
    kinds = _mlp_types(config, num_layers)
    window = config.maybe_count("sliding_window")
    types = _layer_types(config, num_layers, window)
    return gqa_moe.decoder(
        config, design, family="exaone_moe",
        dense=moe.where_layer(kinds, "dense"), sparse=moe.where_layer(kinds, "sparse"),
        sliding=moe.where_layer(types, "sliding_attention"), window_tokens=window,
        shared_experts=shared, more=_prediction(config, design),
    )  # fmt: skip


def _mlp_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    first = 0 if config.has("mlp_layer_types") else config.count("first_k_dense_replace", minimum=0)
    default = tuple("dense" if i < first else "sparse" for i in range(num_layers))
    kinds = config.layer_types(num_layers, default, "mlp_layer_types")
    moe.known_types(config, kinds, ("dense", "sparse"), "mlp_layer_types")
    return kinds


def _layer_types(config: Fields, num_layers: int, window: int | None) -> tuple[str, ...]:
    """`sliding_window_pattern` is a period, or a word such as LLLG repeated over the layers."""
    sliding, full = "sliding_attention", "full_attention"
    pattern = config.values.get("sliding_window_pattern", 4)
    if not window:
        default = (full,) * num_layers
    elif isinstance(pattern, str) and pattern and set(pattern) <= {"L", "G"}:
        default = tuple(full if pattern[i % len(pattern)] == "G" else sliding for i in range(num_layers))
    else:
        period = config.count("sliding_window_pattern", default=4)
        default = moe.every_nth(num_layers, period, regular=sliding, nth=full)
    types = config.layer_types(num_layers, default)
    moe.known_types(config, types, (sliding, full))
    return types


def _prediction(config: Fields, design: gqa_moe.Design) -> list[Tensor]:
    layers = tuple(range(config.count("num_nextn_predict_layers", default=0, minimum=0, maximum=1000)))
    width = design.hidden_size
    if not layers:
        return []
    return moe.not_loaded(
        [
            *gqa_moe.layers_of(design, layers, (), "mtp.layers.{layer}"),
            *blocks.linear("mtp.fc", width, 2 * width, Role.OTHER, None),
            *blocks.norm("mtp.pre_fc_norm_embedding", width, None),
            *blocks.norm("mtp.pre_fc_norm_hidden", width, None),
            *blocks.norm("mtp.norm", width, None),
        ]
    )
