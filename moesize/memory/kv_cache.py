"""Bytes of caches, before any engine pages them: per token, per sequence, by kind of layer."""

from math import prod
from typing import NamedTuple

from moesize.memory.layout import Layout, LayoutError
from moesize.model.spec import Cache, CacheKind, ModelSpec
from moesize.quant.kv import KvFormat
from moesize.units import DTYPE_BYTES, ceil_div

_BOUNDED = (CacheKind.SLIDING, CacheKind.CHUNKED)


def bytes_per_token(spec: ModelSpec, kv: KvFormat, *, in_window: bool = False) -> int:
    """Bytes one more token adds on one data-parallel replica, over all layers.

    Sliding and chunked layers stop growing at their window; `in_window` counts them too.
    """
    growing = (c for c in spec.caches if c.kind not in (CacheKind.STATE, CacheKind.CROSS))
    return round(sum(layer_token_bytes(c, kv) * len(c.layers) for c in growing if in_window or c.kind not in _BOUNDED))


def layer_token_bytes(cache: Cache, kv: KvFormat) -> float:
    """Bytes one token takes in one layer, all heads together."""
    return entry_bytes(cache, kv, cache.num_kv_heads) / cache.tokens_per_entry


def entry_bytes(cache: Cache, kv: KvFormat, heads: int) -> int:
    """Bytes of one entry of one layer that keeps `heads` heads.

    An indexer's keys are fp8 with one fp32 scale per 128 whatever the rest is kept in (vllm
    `v1/attention/backends/mla/indexer.py`).
    """
    if cache.kind is CacheKind.INDEXER:
        return heads * (cache.key_dim + 4 * ceil_div(cache.key_dim, 128))
    return heads * kv.head_bytes(cache.key_dim, cache.value_dim)


def state_bytes_per_sequence(spec: ModelSpec) -> int:
    """Recurrent and convolution states of one sequence, over all layers."""
    return sum(
        prod(state.shape) * DTYPE_BYTES[state.dtype or spec.dtype] * len(cache.layers)
        for cache in spec.caches
        if cache.kind is CacheKind.STATE
        for state in cache.states
    )


def sequence_bytes(spec: ModelSpec, kv: KvFormat, context_tokens: int) -> int:
    """Bytes of one sequence of `context_tokens`, windows capped, states included, unpaged and unsharded."""
    tokens = sum(
        layer_token_bytes(c, kv) * len(c.layers) * min(context_tokens, c.window_tokens or context_tokens)
        for c in spec.caches
        if c.kind not in (CacheKind.STATE, CacheKind.CROSS)
    )
    return round(tokens) + state_bytes_per_sequence(spec)


def rank_kv_heads(cache: Cache, tp: int) -> int:
    """KV heads of one rank: at least one, copied when there are more ranks than heads.

    Raises:
        LayoutError: neither divides the other.
    """
    if cache.replicated:
        return cache.num_kv_heads
    heads = cache.num_kv_heads
    if heads % tp == 0:
        return heads // tp
    if tp % heads == 0:
        return 1
    raise LayoutError(f"{heads} KV heads do not divide over {tp} GPUs")


class LayerCache(NamedTuple):
    """What equal layers of one rank keep: bytes of a token in one layer, and the tokens a window stops at."""

    kind: CacheKind
    layers: int
    token_bytes: float
    window_tokens: int | None


def rank_caches(spec: ModelSpec, kv: KvFormat, layout: Layout, layers: range) -> tuple[LayerCache, ...]:
    """The growing caches of one rank of a stage, unpaged.

    Raises:
        LayoutError: KV heads that do not divide over the tensor-parallel ranks.
    """
    found = ((c, sum(i in layers for i in c.layers)) for c in spec.caches)
    return tuple(
        LayerCache(
            c.kind,
            count,
            entry_bytes(c, kv, rank_kv_heads(c, layout.tp)) / c.tokens_per_entry,
            c.window_tokens if c.kind in _BOUNDED else None,
        )
        for c, count in found
        if count and c.kind not in (CacheKind.STATE, CacheKind.CROSS)
    )


def rank_state_bytes(spec: ModelSpec, layout: Layout, layers: range) -> int:
    """Recurrent and convolution states of one sequence on one rank of a stage; what does not divide is kept whole."""
    total = 0
    for cache in spec.caches:
        if cache.kind is CacheKind.STATE:
            count = sum(i in layers for i in cache.layers)
            for state in cache.states:
                ways = layout.tp if state.split_dim is not None and state.shape[state.split_dim] % layout.tp == 0 else 1
                total += prod(state.shape) // ways * DTYPE_BYTES[state.dtype or spec.dtype] * count
    return total
