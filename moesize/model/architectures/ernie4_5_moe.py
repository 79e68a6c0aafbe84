"""ERNIE 4.5: mixtures in a stretch of the layers, with or without shared experts.

Names: transformers `models/ernie4_5_moe` and its conversion from `baidu/ERNIE-4.5-21B-A3B-PT`, whose prediction layer
(a dense one) stands in `model.mtp_*`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `ernie4_5_moe` configuration."""
    moe.refuse(config, "use_bias")
    num_layers = config.layer_count("num_hidden_layers")
    design = design_of(config)
    dense, sparse = mixture_layers(config, num_layers)
    name = "model.layers.{layer}.mlp.moe_statics.e_score_correction_bias"
    return gqa_moe.decoder(
        config, design, family="ernie4_5_moe", dense=dense, sparse=sparse,
        shared_experts=config.expert_count("moe_num_shared_experts", default=0, minimum=0), tied_by_default=True,
        more=[moe.score_correction(name, (1, design.experts), sparse, buffer=False), *_prediction(config, design)],
    )  # fmt: skip


def design_of(config: Fields) -> gqa_moe.Design:
    """The layer of an `ernie4_5_moe` configuration."""
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    width = config.count("moe_intermediate_size")
    shared = config.expert_count("moe_num_shared_experts", default=0, minimum=0)
    return gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=config.count("intermediate_size"),
        moe_intermediate_size=width,
        experts=config.expert_count("moe_num_experts"),
        per_token=config.expert_count("moe_k"),
        shared_intermediate_size=width * shared,
        gate_dtype="float32",
    )  # fmt: skip


def mixture_layers(config: Fields, num_layers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dense layers and the mixture layers; an end index of -1 is the last layer."""
    first = config.count("moe_layer_start_index", minimum=0)
    last = config.count("moe_layer_end_index", default=-1, minimum=-1)
    interval = config.count("moe_layer_interval", default=1)
    last = num_layers - 1 if last == -1 else last
    sparse = tuple(i for i in range(num_layers) if first <= i <= last and (i + 1) % interval == 0)
    return tuple(i for i in range(num_layers) if i not in sparse), sparse


def _prediction(config: Fields, design: gqa_moe.Design) -> list[Tensor]:
    layers = tuple(range(config.count("num_nextn_predict_layers", default=0, minimum=0, maximum=1000)))
    width = design.hidden_size
    return moe.not_loaded(
        [
            *gqa_moe.layers_of(design, layers, (), "model.mtp_block.{layer}"),
            *blocks.norm("model.mtp_emb_norm.{layer}", width, layers),
            *blocks.norm("model.mtp_hidden_norm.{layer}", width, layers),
            *blocks.linear("model.mtp_linear_proj.{layer}", width, 2 * width, Role.OTHER, layers),
        ]
    )
