"""The pool of models whose layers keep pages of several sizes: windows, compressed entries and compressors' states.

DeepSeek-V4 keeps a window of latents in every layer, entries for 4 or for 128 tokens beside it, an indexer's keys, and
the tokens its compressors have not yet merged. Layers of one kind form groups; layers of all groups lie behind each
other in one block. Source: vllm `models/deepseek_v4/attention.py`, `compressor.py`, `v1/attention/backends/mla/
sparse_swa.py` (pages) and `v1/core/kv_cache_utils.py`, since 0.33 `kv_cache_planning.py` (groups).
"""

from math import prod
from typing import NamedTuple

from moesize.engines.vllm.constants import Rules
from moesize.engines.vllm.pages import Page
from moesize.engines.vllm.pool import Group, PoolPlan
from moesize.memory.kv_cache import entry_bytes
from moesize.model.spec import Cache, CacheKind, ModelSpec
from moesize.quant.kv import KvFormat
from moesize.units import DTYPE_BYTES, ceil_div, round_up

#: Tokens of a block of whole layers, and of one of windows: both hold 64 entries.
_BLOCK_TOKENS = 256
_WINDOW_BLOCK_TOKENS = 64
#: Compression ratio -> tokens of a block of its compressor's states.
_STATE_BLOCK_TOKENS = {4: 4, 128: 8}
#: Pages are padded to a multiple of this: FlashMLA's packed layout, and the others.
_PACKED_ALIGNMENT = 576
_ALIGNMENT = 512


class _Bucket(NamedTuple):
    """Layers that take blocks at the same pace: page bytes -> how many layers have such a page."""

    page: Page
    sizes: dict[int, int]

    @property
    def repeats(self) -> int:
        """Layers of the commonest page size."""
        return max(self.sizes.values())


def is_packed(spec: ModelSpec) -> bool:
    """Whether the model's layers keep pages of such kinds."""
    return any(cache.kind is CacheKind.COMPRESSED for cache in spec.caches)


def packed_pool(
    spec: ModelSpec, kv: KvFormat, layers: range, rules: Rules, draft: ModelSpec | None = None
) -> PoolPlan | None:
    """The groups of a stage's layers, and the bytes of a block of the pool they share.

    A `draft` adds its windows to the model's.
    """
    buckets = _buckets(spec, kv, layers, draft)
    if not buckets:
        return None
    entry, full = rules.entry("packed_pool"), buckets[0]
    repeats = _best_repeats([bucket.repeats for bucket in buckets], full.repeats)
    groups, weights = [Group(full.page, sum(full.sizes.values()))], [_total(full.sizes)]
    slots = dict(full.sizes)
    for bucket in buckets[1:]:
        places = [min((s for s in full.sizes if s >= size), default=size) for size in bucket.sizes]
        for count in _split(bucket.repeats, ceil_div(bucket.repeats, repeats)):
            groups.append(Group(bucket.page, count * len(places)))
            weights.append(count * sum(places))
            slots.update({place: max(slots.get(place, 0), count) for place in places})
    tuples = sum(full.sizes) * max(slots.values())
    block = {"tuples": tuples, "slots": _total(slots), "widest group": max(weights)}[entry["block"]]
    return PoolPlan(tuple(groups), block, weights=tuple(weights) if entry["weighted"] else ())


def _total(sizes: dict[int, int]) -> int:
    return sum(size * count for size, count in sizes.items())


def _buckets(spec: ModelSpec, kv: KvFormat, layers: range, draft: ModelSpec | None) -> list[_Bucket]:
    """Whole layers first, then windows, then states."""
    align = _PACKED_ALIGNMENT if kv.name == "fp8_ds_mla" else _ALIGNMENT
    whole: dict[int, int] = {}
    windows: dict[int, int] = {}
    states: dict[int, dict[int, int]] = {}
    window = 0
    for cache in (*spec.caches, *(draft.caches if draft else ())):
        mine = sum(i in layers for i in cache.layers) if cache in spec.caches else len(cache.layers)
        if not mine:
            continue
        if cache.kind is CacheKind.STATE:
            ratio = _ratio(spec, cache)
            found = states.setdefault(ratio, {})
            for state in cache.states:
                row = prod(state.shape[1:]) * DTYPE_BYTES[state.dtype or "float32"]
                size = round_up(_STATE_BLOCK_TOKENS[ratio] * row, align)
                found[size] = found.get(size, 0) + mine
        else:
            block = _WINDOW_BLOCK_TOKENS if cache.kind is CacheKind.SLIDING else _BLOCK_TOKENS // cache.tokens_per_entry
            size = round_up(block * entry_bytes(cache, kv, cache.num_kv_heads), align)
            target = windows if cache.kind is CacheKind.SLIDING else whole
            window = cache.window_tokens or window
            target[size] = target.get(size, 0) + mine
    found_buckets = []
    if whole:
        page = Page(CacheKind.FULL, sum(whole.values()), _BLOCK_TOKENS, sum(whole))
        found_buckets.append(_Bucket(page, whole))
    if windows:
        page = Page(CacheKind.SLIDING, sum(windows.values()), _WINDOW_BLOCK_TOKENS, sum(windows), window)
        found_buckets.append(_Bucket(page, windows))
    for ratio, sizes in states.items():
        reach = (2 if ratio == min(_STATE_BLOCK_TOKENS) else 1) * ratio
        page = Page(CacheKind.SLIDING, sum(sizes.values()), _STATE_BLOCK_TOKENS[ratio], sum(sizes), reach)
        found_buckets.append(_Bucket(page, sizes))
    return found_buckets


def _ratio(spec: ModelSpec, states: Cache) -> int:
    """The compression of the layers a compressor's states stand in."""
    return next(c.tokens_per_entry for c in spec.caches if c.kind is CacheKind.COMPRESSED and c.layers == states.layers)


def _best_repeats(counts: list[int], at_least: int) -> int:
    """The length of groups that pads all counts least; of equals the longest."""
    return min(range(at_least, max(counts) + 1), key=lambda d: (sum(-n % d for n in counts), -d))


def _split(count: int, groups: int) -> list[int]:
    """Every `groups`-th layer, from each start."""
    return [len(range(start, count, groups)) for start in range(groups)]
