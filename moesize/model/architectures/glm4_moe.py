"""GLM-4.5, 4.6 and 4.7, and their vision models' text part; Solar-Open, which is the same without prediction layers.

Names: transformers `models/glm4_moe`, `models/solar_open`; the prediction layer as in vLLM `models/glm4_moe_mtp.py`.
"""

from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `glm4_moe` or `solar_open` configuration.

    `mtp_shares_embeddings` is no key of the Hub's: catalogue entries set it where the checkpoint's prediction layer
    does not store embedding and head a second time, which the configurations do not tell.
    """
    num_layers = config.layer_count("num_hidden_layers")
    solar = config.text("model_type", default="") == "solar_open"
    # Solar has no dense layer, and its configurations need not say so.
    first = 0 if solar else config.count("first_k_dense_replace", minimum=0)
    dense, sparse = moe.first_dense(num_layers, first)
    design = design_of(config, with_dense=bool(dense))
    predicted = moe.next_n_layers(config, num_layers)
    copied = 0 if config.flag("mtp_shares_embeddings", default=False) else config.count("vocab_size")
    prefix = "model.layers.{layer}"
    mtp = [
        *gqa_moe.layers_of(design, (), predicted),
        *moe.next_n_ends(prefix, predicted, hidden_size=design.hidden_size, copied_rows=copied),
    ]
    return gqa_moe.decoder(
        config,
        design,
        family="glm4_moe",
        dense=dense,
        sparse=sparse,
        shared_experts=config.expert_count("n_shared_experts", minimum=0),
        more=moe.not_loaded(mtp),
    )


def design_of(config: Fields, *, with_dense: bool) -> gqa_moe.Design:
    """The layer of a `glm4_moe` configuration."""
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(config, hidden)
    width = config.count("moe_intermediate_size")
    return gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=config.count("intermediate_size") if with_dense else 0,
        moe_intermediate_size=width,
        experts=config.expert_count("n_routed_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=width * config.expert_count("n_shared_experts", minimum=0),
        qkv_bias=config.flag("attention_bias", default=False),
        qk_norm="head" if config.flag("use_qk_norm", default=False) else "",
        correction="gate.e_score_correction_bias",
    )  # fmt: skip
