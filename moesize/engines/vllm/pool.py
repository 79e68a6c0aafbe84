"""How vLLM turns free bytes into blocks, and blocks into tokens and sequences.

Layers are put in groups of equal size that share one pool; every group takes its own blocks for a sequence. Source:
vllm `v1/core/kv_cache_utils.py` (`get_kv_cache_groups`, `get_kv_cache_config_from_groups`,
`get_max_concurrency_for_kv_cache_config`);
checked against the plans vLLM 0.33 makes itself (`validation/`).
"""

from typing import NamedTuple

from moesize.engines.vllm.constants import Rules
from moesize.engines.vllm.pages import Page
from moesize.model.spec import CacheKind
from moesize.units import ceil_div


class Group(NamedTuple):
    """Layers that take blocks together; `layers` counts the padding too."""

    page: Page
    layers: int


class PoolPlan(NamedTuple):
    """The groups of one stage, and the bytes one block of the shared pool takes.

    With decode context parallelism every rank holds the tokens of `dcp` ranks' blocks in turn. `weights` are bytes of a
    block of each group, where the printed concurrency counts by them.
    """

    groups: tuple[Group, ...]
    block_bytes: int
    dcp: int = 1
    weights: tuple[int, ...] = ()

    def blocks(self, available_bytes: int) -> int:
        """Blocks `available_bytes` holds."""
        return max(0, available_bytes) // self.block_bytes

    def slots(self, blocks: int) -> int:
        """Tokens `blocks` blocks have room for when every group takes the same share of them."""
        return blocks // len(self.groups) * min(group.page.block_tokens for group in self.groups) * self.dcp

    def blocks_per_sequence(self, context_tokens: int, in_flight_tokens: int) -> int:
        """Blocks one sequence of `context_tokens` may come to hold, over all groups."""
        return sum(self._blocks(context_tokens, in_flight_tokens))

    def concurrency(self, blocks: int, context_tokens: int, in_flight_tokens: int) -> float:
        """Sequences of `context_tokens` that `blocks` blocks hold at once, as the engine prints it."""
        taken = self._blocks(context_tokens, in_flight_tokens)
        needed = sum(taken)
        if self.weights:
            needed = ceil_div(sum(n * w for n, w in zip(taken, self.weights, strict=True)), self.weights[0])
        return blocks / needed if needed else 0.0

    def _blocks(self, context_tokens: int, in_flight_tokens: int) -> list[int]:
        return [_group_blocks(group.page, context_tokens, in_flight_tokens, self.dcp) for group in self.groups]


def _group_blocks(page: Page, context_tokens: int, in_flight_tokens: int, dcp: int) -> int:
    if page.kind is CacheKind.STATE:
        return page.state_blocks
    if page.kind is CacheKind.SLIDING:
        reach = min((page.window_tokens or 0) - 1 + in_flight_tokens, context_tokens)
        return ceil_div(reach, page.block_tokens) + 1
    if page.kind is CacheKind.CHUNKED:
        return ceil_div(min((page.window_tokens or 0) + in_flight_tokens, context_tokens), page.block_tokens)
    return ceil_div(ceil_div(context_tokens, dcp), page.block_tokens)


def plan_pool(pages: tuple[Page, ...], rules: Rules, dcp: int = 1) -> PoolPlan | None:
    """Groups of the pages of a stage, for `dcp` ranks that share a sequence; None when no layer keeps anything."""
    plan = _plan(pages, rules) if pages else None
    return plan._replace(dcp=dcp) if plan and dcp > 1 else plan


def _plan(pages: tuple[Page, ...], rules: Rules) -> PoolPlan:
    if not rules.hybrid_groups:
        pages = tuple(p._replace(kind=CacheKind.FULL) if p.kind is not CacheKind.STATE else p for p in pages)
    if all(page.kind is CacheKind.FULL for page in pages) or len(_types(pages)) == 1:
        return _one_group(pages)
    return _grouped(_merge(_unified(pages)), rules)


def _types(pages: tuple[Page, ...]) -> set[tuple[CacheKind, int | None, int]]:
    return {(p.kind, p.window_tokens, p.n_bytes) for p in pages}


def _one_group(pages: tuple[Page, ...]) -> PoolPlan:
    total = sum(page.n_bytes * page.layers for page in pages)
    return PoolPlan((Group(pages[0], sum(p.layers for p in pages)),), total)


def _unified(pages: tuple[Page, ...]) -> tuple[Page, ...]:
    """Pages of one size: smaller ones get longer blocks when that divides, and are padded otherwise."""
    largest = max(page.n_bytes for page in pages)
    return tuple(_grown(page, largest) for page in pages)


def _grown(page: Page, size: int) -> Page:
    if page.kind is not CacheKind.STATE and page.resizable and size % page.n_bytes == 0:
        return page._replace(n_bytes=size, block_tokens=page.block_tokens * (size // page.n_bytes))
    return page._replace(n_bytes=size)


def _merge(pages: tuple[Page, ...]) -> tuple[Page, ...]:
    """Layers that ask for the same are one kind, whichever cache of the model they came from."""
    counts: dict[Page, int] = {}
    for page in pages:
        key = page._replace(layers=0)
        counts[key] = counts.get(key, 0) + page.layers
    return tuple(page._replace(layers=n) for page, n in counts.items())


def _grouped(pages: tuple[Page, ...], rules: Rules) -> PoolPlan:
    counts = [page.layers for page in pages]
    small, large = min(counts), max(counts)
    size = large if large < rules.group_padding_limit * small else small
    groups = [Group(page, size) for page in pages for _ in range(ceil_div(page.layers, size))]
    return PoolPlan(tuple(groups), size * pages[0].n_bytes)
