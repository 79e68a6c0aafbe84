"""MPT: ALiBi instead of positions, no biases, fused attention.

Names: transformers `models/mpt`; checkpoints `mosaicml/mpt-*` use the same.
"""

from moesize.errors import InputError
from moesize.model.architectures._decoder import decoder
from moesize.model.architectures._early import stem
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `mpt` configuration.

    Raises:
        InputError: learned positions or biases, which no released MPT has.
    """
    attention = config.maybe_sub("attn_config")
    if attention is not None and not attention.flag("alibi", default=True):
        raise InputError(f"{config.where}: attn_config.alibi is false, but only MPT with ALiBi is known")
    if not config.flag("no_bias", default=True):
        raise InputError(f"{config.where}: no_bias is false, but only MPT without biases is known")
    kv_heads = attention.maybe_count("kv_n_heads") if attention else None
    dims = decoder(config, "mpt", kv_heads=kv_heads)
    layer = "transformer.blocks.{layer}"
    return dims.finish(
        [
            *stem(config, dims.hidden_size, table="transformer.wte", final_norm="transformer.norm_f", norm_bias=False),
            *dims.norms(layer, "norm_1", "norm_2"),
            *dims.fused_attention(f"{layer}.attn.Wqkv", f"{layer}.attn.out_proj"),
            *dims.plain_mlp(
                f"{layer}.ffn", intermediate_size=config.count("expansion_ratio", default=4) * dims.hidden_size
            ),
        ],
        ropes=(),
        context_length=config.maybe_count("max_seq_len"),
    )
