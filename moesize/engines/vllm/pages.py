"""The page every layer asks for: bytes of one block of one layer on one rank.

Source: vllm `v1/kv_cache_interface.py` (page_size_bytes of each KVCacheSpec); checked against the cache plans vLLM 0.33
makes itself (`validation/`).
"""

from dataclasses import replace
from math import prod
from typing import NamedTuple

from moesize.engines.vllm.constants import Rules
from moesize.memory.kv_cache import entry_bytes, rank_kv_heads
from moesize.memory.layout import Layout, LayoutError
from moesize.model.spec import Cache, CacheKind, ModelSpec, State
from moesize.quant.kv import KvFormat
from moesize.units import DTYPE_BYTES, ceil_div, round_up

#: Head widths the attention kernels without MLA had.
_PADDED_HEAD = 256


class Page(NamedTuple):
    """What equal layers ask for.

    Attributes:
        kind: FULL (also latent and indexer), SLIDING, CHUNKED or STATE.
        layers: How many of this kind are on the stage.
        block_tokens: Tokens of one block.
        n_bytes: Bytes of one block of one layer.
        window_tokens: Of a sliding window or a chunk.
        state_blocks: Blocks a sequence's state takes, for STATE.
        resizable: Whether the block may be made longer to match other layers' pages.
    """

    kind: CacheKind
    layers: int
    block_tokens: int
    n_bytes: int
    window_tokens: int | None = None
    state_blocks: int = 0
    resizable: bool = True


def pages_of(
    spec: ModelSpec,
    kv: KvFormat,
    layout: Layout,
    layers: range,
    rules: Rules,
    *,
    proposed: int = 0,
    prefix_caching: bool | None = None,
) -> tuple[Page, ...]:
    """The pages of the layers of one pipeline stage, before different sizes are unified.

    A state is kept once more for every token that is `proposed` in a step, and its convolution sees them all;
    `prefix_caching` keeps further copies, None as the version does by default.

    Raises:
        LayoutError: KV heads that do not divide over the tensor-parallel ranks.
    """
    found = [(c, sum(i in layers for i in c.layers)) for c in spec.caches]
    caches = [(cache if rules.latent_cache else _unpacked(cache, spec), count) for cache, count in found if count]
    block = rules.block_tokens(spec, kv)
    tokens = [_token_page(c, n, kv, layout, block) for c, n in caches if c.kind is not CacheKind.STATE]
    states = []
    for cache, count in caches:
        if cache.kind is CacheKind.STATE:
            kept = rules.state_blocks(cache.mixer, prefix_caching=prefix_caching) + proposed
            states.append(_state_page(cache, count, spec, layout, rules, proposed)._replace(state_blocks=kept))
    return _align_with_states(tokens, states, [c for c, _ in caches], rules) if states else tuple(tokens)


def _unpacked(cache: Cache, spec: ModelSpec) -> Cache:
    """A latent cache as vLLM kept it before it knew MLA: whole keys and values, heads padded to a kernel's width."""
    if cache.kind is not CacheKind.LATENT:
        return cache
    heads = max(a.num_heads for a in spec.attentions)
    width = round_up(max(a.qk_head_dim for a in spec.attentions), _PADDED_HEAD)
    return replace(cache, kind=CacheKind.FULL, num_kv_heads=heads, key_dim=width, value_dim=width)


def _token_page(cache: Cache, count: int, kv: KvFormat, layout: Layout, block: int) -> Page:
    heads = rank_kv_heads(cache, layout.tp)
    per_token = entry_bytes(cache, kv, heads)
    kind = cache.kind if cache.kind in (CacheKind.SLIDING, CacheKind.CHUNKED) else CacheKind.FULL
    entries = ceil_div(block, cache.tokens_per_entry)
    latent = cache.kind in (CacheKind.LATENT, CacheKind.INDEXER, CacheKind.COMPRESSED)
    return Page(kind, count, block, round(per_token * entries), cache.window_tokens, resizable=not latent)


def draft_pages(
    draft: ModelSpec, kv: KvFormat, layout: Layout, beside: tuple[Page, ...], rules: Rules
) -> tuple[Page, ...]:
    """The pages of a drafting model's layers, in blocks as long as those of the model it drafts for."""
    block = next((p.block_tokens for p in beside if p.kind is not CacheKind.STATE), rules.block_tokens(draft, kv))
    return tuple(
        _token_page(c, len(c.layers), kv, layout, block) for c in draft.caches if c.kind is not CacheKind.STATE
    )


def _state_page(cache: Cache, count: int, spec: ModelSpec, layout: Layout, rules: Rules, proposed: int) -> Page:
    seen = proposed if cache.mixer in rules.entry("speculative_convolutions")["mixers"] else 0
    n_bytes = sum(_state_bytes(state, cache.mixer, spec, layout, rules, seen) for state in cache.states)
    return Page(CacheKind.STATE, count, 0, n_bytes)


def _state_bytes(state: State, mixer: str, spec: ModelSpec, layout: Layout, rules: Rules, seen: int) -> int:
    ways = 1 if state.split_dim is None else layout.tp
    if state.split_dim is not None and state.shape[state.split_dim] % ways:
        raise LayoutError(
            f"the {state.name} state of {state.shape[state.split_dim]} rows does not divide over {ways} GPUs"
        )
    elements = prod(state.shape)
    if state.name.startswith("conv"):
        # A convolution of n inputs needs the last n - 1; the newest comes with the token, the proposed ones before it.
        elements = elements // state.shape[-1] * (state.shape[-1] - 1 + seen)
    return elements // ways * DTYPE_BYTES[rules.state_dtype(spec, mixer, state)]


def _align_with_states(tokens: list[Page], states: list[Page], caches: list[Cache], rules: Rules) -> tuple[Page, ...]:
    """Attention blocks grow until their page holds a state; the state's page is then padded to the same size.

    Source: vllm `model_executor/models/config.py` HybridAttentionMambaModelConfig.
    """
    largest = max(page.n_bytes for page in states)
    if not tokens:
        return tuple(page._replace(n_bytes=largest, block_tokens=rules.default_block_tokens) for page in states)
    per_token = max(page.n_bytes // page.block_tokens for page in tokens)
    align = max(rules.state_alignment_tokens(c.mixer) for c in caches if c.kind is CacheKind.STATE)
    block = max(rules.default_block_tokens, round_up(ceil_div(largest, per_token), align))
    grown = [p._replace(block_tokens=block, n_bytes=p.n_bytes // p.block_tokens * block) for p in tokens]
    size = max(p.n_bytes for p in grown)
    return (*grown, *(p._replace(n_bytes=size, block_tokens=block) for p in states))
