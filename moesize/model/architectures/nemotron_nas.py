"""Llama-Nemotron models found by architecture search: every block has its own attention and MLP, or lacks one.

Names and the width of an MLP: vLLM's `models/nemotron_nas.py`; checkpoint `nvidia/Llama-3_3-Nemotron-Super-49B-v1`.
"""

from collections.abc import Mapping
from typing import Any

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import MAX_LAYERS, Fields
from moesize.model.spec import Attention, Cache, ModelSpec, Tensor

LAYER = "model.layers.{layer}"
#: Widths of MLPs are rounded up to a multiple of it.
WIDTH_MULTIPLE = 256


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `nemotron-nas` configuration."""
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    head_dim = blocks.head_dim_of(config, hidden, heads)
    attention, mlps = _blocks_of(config)
    with_attention = tuple(sorted(i for layers in attention.values() for i in layers))
    with_mlp = tuple(sorted(i for layers in mlps.values() for i in layers))
    tensors: list[Tensor] = [
        *blocks.ends(config, hidden_size=hidden),
        *blocks.norm(f"{LAYER}.input_layernorm", hidden, with_attention),
        *blocks.norm(f"{LAYER}.post_attention_layernorm", hidden, with_mlp),
    ]
    caches: list[Cache] = []
    products: list[Attention] = []
    bias = config.flag("attention_bias", default=False)
    for per_group, layers in sorted(attention.items()):
        if heads % per_group:
            raise InputError(f"{config.where}: n_heads_in_group {per_group} does not divide {heads} attention heads")
        kv_heads = heads // per_group
        tensors += blocks.gqa(
            f"{LAYER}.self_attn", layers,
            hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            qkv_bias=bias, out_bias=bias,
        )  # fmt: skip
        caches += blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim)
        products += blocks.attention_products(layers, num_heads=heads, head_dim=head_dim)
    for multiplier, layers in sorted(mlps.items()):
        tensors += blocks.glu_mlp(
            f"{LAYER}.mlp", layers,
            hidden_size=hidden, intermediate_size=mlp_width(multiplier, hidden),
            bias=config.flag("mlp_bias", default=False),
        )  # fmt: skip
    return blocks.assemble(
        config,
        family="nemotron-nas",
        num_layers=config.layer_count("num_hidden_layers"),
        hidden_size=hidden,
        tensors=tensors,
        caches=caches,
        attentions=products,
        ropes=blocks.rope_of(config, head_dim),
    )


def mlp_width(multiplier: float, hidden_size: int) -> int:
    """Two thirds of `multiplier` × `hidden_size`, rounded up to a multiple of 256."""
    return -(-int(2 * multiplier * hidden_size / 3) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def _blocks_of(config: Fields) -> tuple[dict[int, tuple[int, ...]], dict[float, tuple[int, ...]]]:
    """Layers by the size of their attention groups, and by the multiplier of their MLP; those without are left out.

    Raises:
        InputError: no list of blocks, one of another length, or a block of a kind no released model has.
    """
    num_layers = config.layer_count("num_hidden_layers")
    entries: Any = config.values.get("block_configs")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InputError(f"{config.where}: block_configs must be a list with one mapping per layer")
    if len(entries) != num_layers or num_layers > MAX_LAYERS:
        raise InputError(
            f"{config.where}: block_configs describes {len(entries)} layers, but the model has {num_layers}"
        )
    attention: dict[int, list[int]] = {}
    mlps: dict[float, list[int]] = {}
    for i, entry in enumerate(entries):
        block = Fields(entry, f"{config.where}: block {i}")
        for part in (block.sub("attention"), block.sub("ffn")):
            if part.flag("replace_with_linear", default=False):
                raise InputError(f"{part.where} is replaced with a linear layer, which is not supported")
        if not block.sub("attention").flag("no_op", default=False):
            attention.setdefault(block.sub("attention").count("n_heads_in_group"), []).append(i)
        if not block.sub("ffn").flag("no_op", default=False):
            mlps.setdefault(block.sub("ffn").number("ffn_mult"), []).append(i)
    return (
        {size: tuple(layers) for size, layers in attention.items()},
        {multiplier: tuple(layers) for multiplier, layers in mlps.items()},
    )
