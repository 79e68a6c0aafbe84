"""What the layers of a model keep while they serve: caches, recurrent states, attention products and rotary tables."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class CacheKind(StrEnum):
    """What one layer keeps while it serves a sequence."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    LATENT = "latent"  # MLA: one compressed vector for all heads
    INDEXER = "indexer"  # keys by which sparse attention picks its tokens
    COMPRESSED = "compressed"  # one entry for several tokens
    STATE = "state"  # recurrent and convolution states: per sequence, not per token
    CROSS = "cross"  # over the encoder's output


class State(NamedTuple):
    """One array a recurrent layer keeps per sequence (`conv` or `recurrent`); tensor parallelism divides `split_dim`.

    `dtype` is what transformers keeps it in (None: the model's); `configured_dtype` what the configuration names.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str | None = None
    split_dim: int | None = 0
    configured_dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Cache:
    """What each of `layers` keeps.

    Attributes:
        kind: How it grows.
        layers: The layers that own one (a layer that reads another layer's cache owns none).
        num_kv_heads: Heads kept; 1 for a latent or an indexer, which tensor parallelism copies to every rank.
        key_dim: Elements of a key per head.
        value_dim: Elements of a value per head; 0 where values are read from the same latent.
        window_tokens: Tokens a sliding window or a chunk sees.
        tokens_per_entry: Tokens one compressed entry stands for.
        states: Arrays per sequence, for STATE.
        rope_dim: The part of `key_dim` that carries positions (MLA); quantised layouts keep it apart.
        mixer: What keeps a STATE: mamba1, mamba2, gdn, kda, lightning, short_conv; engines align their pages by it.
    """

    kind: CacheKind
    layers: tuple[int, ...]
    num_kv_heads: int = 0
    key_dim: int = 0
    value_dim: int = 0
    window_tokens: int | None = None
    tokens_per_entry: int = 1
    states: tuple[State, ...] = ()
    rope_dim: int = 0
    mixer: str = ""

    @property
    def elements_per_entry(self) -> int:
        """Elements of one entry of one layer over all heads."""
        return self.num_kv_heads * (self.key_dim + self.value_dim)

    @property
    def replicated(self) -> bool:
        """Whether every tensor-parallel rank keeps all of it."""
        return self.kind in (CacheKind.LATENT, CacheKind.INDEXER, CacheKind.COMPRESSED)


class Attention(NamedTuple):
    """The score and value products of each of `layers`: what costs FLOPs without being a weight.

    `qk_head_dim` and `v_head_dim` are those the products are computed with; they see one entry for `tokens_per_entry`
    tokens of context, and of those entries at most `window_tokens`.
    """

    layers: tuple[int, ...]
    num_heads: int
    qk_head_dim: int
    v_head_dim: int
    window_tokens: int | None = None
    causal: bool = True
    tokens_per_entry: int = 1


class Rope(NamedTuple):
    """A rotary table an engine may precompute: `positions` × `rotary_dim`."""

    rotary_dim: int
    positions: int
    dtype: str | None = None
