"""What dense decoders share: their dimensions, read once, the attention that follows, and the spec they end in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._moe import known_types
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Rope, Split, Tensor

SLIDING, FULL = "sliding_attention", "full_attention"


@dataclass(frozen=True, slots=True)
class Decoder:
    """The dimensions of an attention decoder, and the blocks made of nothing else."""

    config: Fields
    family: str
    hidden_size: int
    layers: tuple[int, ...]
    num_heads: int
    num_kv_heads: int
    head_dim: int

    def attention(
        self,
        prefix: str,
        *,
        qkv_bias: bool = False,
        out_bias: bool = False,
        names: Sequence[str] = ("q_proj", "k_proj", "v_proj", "o_proj"),
    ) -> list[Tensor]:
        """Four matrices under `prefix`."""
        return blocks.gqa(
            prefix, self.layers,
            hidden_size=self.hidden_size, num_heads=self.num_heads, num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim, qkv_bias=qkv_bias, out_bias=out_bias, names=names,
        )  # fmt: skip

    def fused_attention(
        self, qkv: str, out: str, *, qkv_bias: bool = False, out_bias: bool = False, transposed: bool = False
    ) -> list[Tensor]:
        """One matrix `qkv` for queries, keys and values, and the output matrix `out`."""
        segments = blocks.fused_qkv_segments(self.num_heads, self.num_kv_heads, self.head_dim)
        width = self.num_heads * self.head_dim
        return [
            *blocks.linear(
                qkv, sum(s.size for s in segments), self.hidden_size, Role.ATTENTION, self.layers,
                split=Split.COLUMN, segments=segments, bias=qkv_bias, transposed=transposed,
            ),
            *blocks.linear(
                out, self.hidden_size, width, Role.ATTENTION, self.layers,
                split=Split.ROW, segments=blocks.heads(self.num_heads, self.head_dim), bias=out_bias,
                transposed=transposed,
            ),
        ]  # fmt: skip

    def norms(self, prefix: str, *names: str, bias: bool = False) -> list[Tensor]:
        """Normalisations `prefix.name` of the residual stream in every layer."""
        return [t for name in names for t in blocks.norm(f"{prefix}.{name}", self.hidden_size, self.layers, bias=bias)]

    def glu_mlp(
        self, prefix: str, *, bias: bool = False, names: Sequence[str] = ("gate_proj", "up_proj", "down_proj")
    ) -> list[Tensor]:
        """A gated MLP of `intermediate_size`."""
        return blocks.glu_mlp(
            prefix, self.layers,
            hidden_size=self.hidden_size, intermediate_size=self.config.count("intermediate_size"),
            bias=bias, names=names,
        )  # fmt: skip

    def plain_mlp(
        self,
        prefix: str,
        *,
        intermediate_size: int | None = None,
        bias: bool = False,
        names: Sequence[str] = ("up_proj", "down_proj"),
        transposed: bool = False,
    ) -> list[Tensor]:
        """An MLP of two matrices, of `intermediate_size` unless said otherwise."""
        inner = self.config.count("intermediate_size") if intermediate_size is None else intermediate_size
        up, down = (f"{prefix}.{name}" for name in names)
        width, layers, role = self.hidden_size, self.layers, Role.MLP
        return [
            *blocks.linear(up, inner, width, role, layers, split=Split.COLUMN, bias=bias, transposed=transposed),
            *blocks.linear(down, width, inner, role, layers, split=Split.ROW, bias=bias, transposed=transposed),
        ]

    def fused_glu_mlp(self, gate_up: str, down: str, intermediate_size: int, *, bias: bool = False) -> list[Tensor]:
        """A gated MLP whose gate and up projections are one matrix."""
        return [
            *blocks.linear(
                gate_up, 2 * intermediate_size, self.hidden_size, Role.MLP, self.layers, split=Split.COLUMN, bias=bias
            ),
            *blocks.linear(
                down, self.hidden_size, intermediate_size, Role.MLP, self.layers, split=Split.ROW, bias=bias
            ),
        ]

    def finish(
        self,
        tensors: Iterable[Tensor],
        *,
        windows: Sequence[int | None] | None = None,
        ropes: Iterable[Rope] | None = None,
        context_length: int | None = None,
        cache_owners: tuple[int, ...] | None = None,
    ) -> ModelSpec:
        """The spec.

        `windows` has one entry per layer, None for a layer that sees everything; layers outside `cache_owners` read the
        keys and values of another.
        """
        owners = frozenset(self.layers if cache_owners is None else cache_owners)
        by_window: dict[int | None, list[int]] = {}
        for layer, window in zip(self.layers, windows or [None] * len(self.layers), strict=True):
            by_window.setdefault(window, []).append(layer)
        groups = sorted(by_window.items(), key=lambda group: group[0] or 0)
        return blocks.assemble(
            self.config,
            family=self.family,
            num_layers=len(self.layers),
            hidden_size=self.hidden_size,
            tensors=tensors,
            caches=[
                cache
                for window, layers in groups
                for cache in blocks.kv_cache(
                    (layer for layer in layers if layer in owners),
                    num_kv_heads=self.num_kv_heads,
                    head_dim=self.head_dim,
                    window_tokens=window,
                )
            ],
            attentions=[
                product
                for window, layers in groups
                for product in blocks.attention_products(
                    layers, num_heads=self.num_heads, head_dim=self.head_dim, window_tokens=window
                )
            ],
            ropes=blocks.rope_of(self.config, self.head_dim) if ropes is None else ropes,
            context_length=context_length,
        )


def decoder(config: Fields, family: str, *, head_dim: int | None = None, kv_heads: int | None = None) -> Decoder:
    """The dimensions under the names most configurations use.

    `head_dim` and `kv_heads` are what the family's configuration class fills in when the key is missing.
    """
    hidden = config.count("hidden_size", "n_embd", "d_model")
    heads = config.count("num_attention_heads", "n_head", "n_heads", "num_heads")
    given = config.has("head_dim") or head_dim is None
    return Decoder(
        config,
        family,
        hidden_size=hidden,
        layers=tuple(range(config.layer_count("num_hidden_layers", "n_layer", "n_layers", "num_layers"))),
        num_heads=heads,
        num_kv_heads=config.count("num_key_value_heads", default=kv_heads or heads),
        head_dim=blocks.head_dim_of(config, hidden, heads) if given or head_dim is None else head_dim,
    )


def alternating_windows(
    config: Fields, num_layers: int, *, period: int, window_tokens: int | None = None
) -> list[int | None]:
    """The window of every layer: by `layer_types`, or with every `period`-th layer seeing everything.

    A `period` of 0 windows no layer; `window_tokens` is what the family's class takes for a missing `sliding_window`.

    Raises:
        InputError: a layer of another type, or a missing window.
    """
    default = (SLIDING if period and (i + 1) % period else FULL for i in range(num_layers))
    types = config.layer_types(num_layers, default)
    known_types(config, types, (SLIDING, FULL))
    if SLIDING not in types:
        return [None] * num_layers
    if window_tokens is None:
        window_tokens = config.count("sliding_window")
    window = config.count("sliding_window", default=window_tokens)
    return [window if kind == SLIDING else None for kind in types]


def everywhere(window_tokens: int | None, num_layers: int) -> list[int | None]:
    """The same window in every layer."""
    return [window_tokens] * num_layers


def partial_rotary_dim(config: Fields, head_dim: int, *keys: str, default: float) -> int:
    """The part of each head that is rotated; newer files say the fraction inside `rope_parameters`."""
    inner = config.maybe_sub("rope_parameters")
    if inner and inner.has("partial_rotary_factor"):
        return int(head_dim * inner.number("partial_rotary_factor"))
    return int(head_dim * config.number("partial_rotary_factor", *keys, default=default))
