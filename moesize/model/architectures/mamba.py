"""Mamba, Falcon-Mamba and Mamba-2: no attention at all, a state per sequence instead of a cache per token.

Names: transformers `models/mamba`, `models/falcon_mamba`, `models/mamba2` (checkpoints converted for transformers).
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._mamba import (
    Mamba1,
    Mamba2,
    check_width,
    dt_rank_of,
    mamba1,
    mamba1_cache,
    mamba2,
    mamba2_cache,
)
from moesize.model.fields import Fields
from moesize.model.spec import Cache, ModelSpec, Tensor

MIXER = "backbone.layers.{layer}.mixer"


def build(config: Fields) -> ModelSpec:
    """Tensors and states of a `mamba`, `falcon_mamba` or `mamba2` configuration."""
    family = config.text("model_type")
    hidden, vocab = config.count("hidden_size"), config.count("vocab_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    table = "backbone.embeddings.weight"
    tied = config.flag("tie_word_embeddings", default=family != "mamba2")
    mixers, caches = _mamba2(config, hidden, layers) if family == "mamba2" else _mamba1(config, hidden, layers)
    return blocks.assemble(
        config,
        family=family,
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            blocks.embedding(table, vocab, hidden),
            *blocks.norm("backbone.layers.{layer}.norm", hidden, layers),
            *mixers,
            *blocks.norm("backbone.norm_f", hidden, None),
            *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=table if tied else None),
        ],
        caches=caches,
    )


def _mamba1(config: Fields, hidden: int, layers: tuple[int, ...]) -> tuple[list[Tensor], list[Cache]]:
    dims = Mamba1(
        # Falcon-Mamba states a width that is not `expand` times the hidden size; the width is what it was built with.
        inner=config.count("intermediate_size", default=hidden * config.count("expand", default=2)),
        state=config.count("state_size", default=16),
        kernel=config.count("conv_kernel", default=4),
        dt_rank=dt_rank_of(config, hidden, "time_step_rank"),
        conv_bias=config.flag("use_conv_bias", default=True),
        bias=config.flag("use_bias", default=False),
    )
    # transformers keeps the recurrence in float32; the configuration is silent about it.
    return mamba1(MIXER, layers, dims, hidden_size=hidden), mamba1_cache(layers, dims, dtype="float32")


def _mamba2(config: Fields, hidden: int, layers: tuple[int, ...]) -> tuple[list[Tensor], list[Cache]]:
    dims = Mamba2(
        heads=config.count("num_heads"),
        head_dim=config.count("head_dim"),
        groups=config.count("n_groups"),
        state=config.count("state_size"),
        kernel=config.count("conv_kernel", default=4),
        conv_bias=config.flag("use_conv_bias", default=True),
        bias=config.flag("use_bias", default=False),
    )
    check_width(config, dims, hidden, config.count("expand", default=2))
    return mamba2(MIXER, layers, dims, hidden_size=hidden), mamba2_cache(layers, dims, dtype="float32")
