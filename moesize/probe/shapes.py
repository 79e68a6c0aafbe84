"""The shapes of one layer's forward pass, read off a rank's tensors: what multiplies what, what is alive at once."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from moesize.memory.kv_cache import rank_kv_heads
from moesize.memory.sharding import RankTensor
from moesize.model.spec import CacheKind, Kind, ModelSpec, Role, Split, Tensor
from moesize.probe.inventory import LayerKind

_MIXERS = (Role.ATTENTION, Role.LINEAR_ATTENTION, Role.STATE_SPACE)
_DENSE = (Role.MLP, Role.SHARED_EXPERT)
_KEYS_AND_VALUES = (CacheKind.FULL, CacheKind.SLIDING, CacheKind.CHUNKED)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A projection of `columns` inputs to `rows` outputs."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Heads:
    """Query and KV heads of a rank's attention, `dim` elements each."""

    queries: int
    kv: int
    dim: int


@dataclass(frozen=True, slots=True)
class Block:
    """Projections whose outputs are alive together, and the one that brings them back to the hidden size.

    `out` is None where no tensor does: then the last projection's output is taken as it is. `heads` is None where the
    products between are none of queries with keys of their own: MLA's latent, recurrences.
    """

    into: tuple[Matrix, ...]
    out: Matrix | None
    heads: Heads | None = None


@dataclass(frozen=True, slots=True)
class Moe:
    """Routed experts of a layer as a rank holds them: `inner` columns each, `rows_in` rows of gate and up together."""

    routed: int
    local: int
    per_token: int
    hidden: int
    inner: int
    rows_in: int


@dataclass(frozen=True, slots=True)
class LayerShapes:
    """One layer of a stack: mixers, dense MLPs (shared experts among them) and routed experts."""

    mixers: tuple[Block, ...]
    mlps: tuple[Block, ...]
    moe: Moe | None


def layer_shapes(
    spec: ModelSpec, tensors: Iterable[RankTensor], kinds: Iterable[LayerKind], tp: int
) -> tuple[LayerShapes, ...]:
    """A layer for every measured layer of every kind; towers are left out: their passes are no step of the decoder."""
    held = list(tensors)
    shapes = []
    for kind in kinds:
        if kind.tower:
            continue
        mine = [t for t in held if t.part.layers and kind.layers[0] in t.part.layers and t.part.kind is Kind.LINEAR]
        mixers = tuple(_with_heads(b, spec, kind.layers[0], tp) for b in _blocks(mine, _MIXERS))
        layer = LayerShapes(mixers, _blocks(mine, _DENSE), _moe(mine))
        shapes += [layer] * len(kind.measured)
    return tuple(shapes)


def mla_rows(spec: ModelSpec, tensors: Iterable[RankTensor]) -> int:
    """Rows of MLA's up-projection on a rank; 0 for other attention."""
    if not any(cache.kind is CacheKind.LATENT for cache in spec.caches):
        return 0
    return max((t.part.out_features for t in tensors if "kv_b_proj" in t.part.name), default=0)


def _blocks(held: list[RankTensor], roles: tuple[Role, ...]) -> tuple[Block, ...]:
    """The blocks of a layer, by the module their matrices belong to."""
    modules: dict[str, list[Tensor]] = {}
    for t in held:
        if t.part.role in roles:
            modules.setdefault(t.part.name.rsplit(".", 2)[0], []).append(t.part)
    blocks = []
    for parts in modules.values():
        into = tuple(_matrix(p) for p in parts if p.split is not Split.ROW)
        out = [_matrix(p) for p in parts if p.split is Split.ROW]
        blocks.append(Block(into, out[-1] if out else None))
    return tuple(blocks)


def _with_heads(block: Block, spec: ModelSpec, layer: int, tp: int) -> Block:
    """The block with its heads, where the layer keeps keys and values of one size and the widths agree."""
    caches = (c for c in spec.caches if layer in c.layers and c.kind in _KEYS_AND_VALUES)
    cache = next((c for c in caches if c.key_dim == c.value_dim > 0), None)
    if cache is None or block.out is None or block.out.columns % cache.key_dim:
        return block
    heads = Heads(block.out.columns // cache.key_dim, rank_kv_heads(cache, tp), cache.key_dim)
    return replace(block, heads=heads) if heads.queries % heads.kv == 0 else block


def _matrix(part: Tensor) -> Matrix:
    return Matrix(part.out_features, part.in_features)


def _moe(held: list[RankTensor]) -> Moe | None:
    experts = [t for t in held if t.part.role is Role.ROUTED_EXPERT]
    down = [t for t in experts if t.part.split is Split.ROW]
    if not down:
        return None
    widest = max(down, key=lambda t: t.part.in_features)
    rows_in = sum(t.part.out_features for t in experts if t.part.split is not Split.ROW)
    return Moe(
        routed=widest.whole.experts,
        local=widest.part.experts,
        per_token=widest.whole.active_experts,
        hidden=widest.part.out_features,
        inner=widest.part.in_features,
        rows_in=rows_in,
    )
