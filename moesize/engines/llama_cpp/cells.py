"""llama.cpp's caches: cells per layer, whole from the start, and the layers of a device that have them.

Source: https://github.com/ggml-org/llama.cpp `src/llama-kv-cache*.cpp`, `src/llama-memory-recurrent.cpp`; checked
against the "KV buffer size" lines of public logs (`validation/data/runtime.yaml`).
"""

from dataclasses import dataclass
from math import prod

from moesize.engines.rules import Rules
from moesize.model.spec import Cache, CacheKind, ModelSpec
from moesize.quant.kv import KvFormat
from moesize.units import round_up

_WINDOWED = (CacheKind.SLIDING, CacheKind.CHUNKED)
#: llama.cpp keeps recurrent states in float32.
_STATE_BYTES = 4
#: Keys of a sparse-attention indexer are kept in float16.
_INDEXER_BYTES = 2
_WINDOW_PADDING = 256


@dataclass(frozen=True, slots=True)
class Cells:
    """What the server was started with.

    Attributes:
        context_tokens: n_ctx, over all slots, padded.
        slots: Sequences at once.
        ubatch_tokens: Tokens of one physical step.
        streams: Caches the slots are divided over: 1 when they share one, or as many as there are slots.
    """

    context_tokens: int
    slots: int
    ubatch_tokens: int
    rules: Rules
    streams: int = 1

    def of(self, cache: Cache) -> int:
        """Cells of one layer."""
        if cache.kind in _WINDOWED and self.rules.value("windowed_cells"):
            wanted = (cache.window_tokens or 0) * (self.slots // self.streams) + self.ubatch_tokens
            each = min(self.context_tokens // self.streams, wanted)
            return self.streams * round_up(each, _WINDOW_PADDING)
        return self.context_tokens


def padded_context(tokens: int, rules: Rules, *, flash_attention: bool) -> int:
    """n_ctx as llama.cpp rounds it."""
    return round_up(tokens, rules.value("context_padding_flash" if flash_attention else "context_padding"))


def layer_bytes(spec: ModelSpec, kv: KvFormat, cells: Cells) -> dict[int, int]:
    """Layer -> bytes of everything it keeps, states of all slots included."""
    held: dict[int, int] = {}
    for cache in spec.caches:
        n_bytes = _cache_bytes(cache, spec, kv, cells)
        for layer in cache.layers:
            held[layer] = held.get(layer, 0) + n_bytes
    return held


def _cache_bytes(cache: Cache, spec: ModelSpec, kv: KvFormat, cells: Cells) -> int:
    if cache.kind is CacheKind.STATE:
        return sum(_state_elements(s.name, s.shape) for s in cache.states) * _STATE_BYTES * cells.slots
    if cache.kind is CacheKind.CROSS:
        return 0
    return round(token_bytes(cache, spec, kv, cells.rules) * cells.of(cache))


def _state_elements(name: str, shape: tuple[int, ...]) -> int:
    # A convolution of n inputs keeps the last n - 1.
    return prod(shape) // shape[-1] * (shape[-1] - 1) if name.startswith("conv") else prod(shape)


def token_bytes(cache: Cache, spec: ModelSpec, kv: KvFormat, rules: Rules) -> float:
    """Bytes of one cell of one layer."""
    if cache.kind is CacheKind.INDEXER:
        return cache.num_kv_heads * cache.key_dim * _INDEXER_BYTES / cache.tokens_per_entry
    if cache.kind is CacheKind.LATENT:
        return _latent_bytes(cache, spec, kv, rules.value("latent"))
    return cache.num_kv_heads * kv.head_bytes(cache.key_dim, cache.value_dim) / cache.tokens_per_entry


def _latent_bytes(cache: Cache, spec: ModelSpec, kv: KvFormat, kept: str) -> int:
    if kept == "key":
        return kv.head_bytes(cache.key_dim, 0)
    if kept == "both":
        return kv.head_bytes(cache.key_dim, cache.key_dim - cache.rope_dim)
    product = spec.attentions[0]
    return product.num_heads * kv.head_bytes(product.qk_head_dim, product.v_head_dim)
