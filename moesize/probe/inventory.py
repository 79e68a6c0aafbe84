"""What the probe allocates: every array of a rank's inventory in the form a checkpoint stores it.

Layers that hold the same arrays are one kind; `--layers N` allocates N of each kind and the rest is multiplication.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from moesize.errors import InputError
from moesize.memory.sharding import RankTensor
from moesize.model.spec import Role, Tensor
from moesize.quant.formats import Array, WeightFormat
from moesize.quant.scheme import QuantScheme, arrays_of, module_of, part_bytes

#: Layers of a tower are counted on their own.
_TOWERS = (Role.VISION, Role.AUDIO)
_Piece = tuple[Tensor, WeightFormat]


@dataclass(frozen=True, slots=True)
class LayerKind:
    """Layers that hold the same arrays, and those of them that are allocated."""

    layers: tuple[int, ...]
    measured: tuple[int, ...]
    tower: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The arrays of one role in one kind of layer (None: outside the layers), experts of a layer stacked."""

    role: Role
    kind: LayerKind | None
    arrays: tuple[Array, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes that are allocated."""
        return sum(array.nbytes for array in self.arrays)

    def extrapolated(self, n_bytes: int) -> int:
        """What `n_bytes` measured on the allocated layers come to over all layers of the kind."""
        return n_bytes if self.kind is None else n_bytes * len(self.kind.layers) // len(self.kind.measured)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is allocated, and what the whole rank would take by role."""

    batches: tuple[Batch, ...]
    kinds: tuple[LayerKind, ...]
    predicted: dict[Role, int]

    @property
    def n_bytes(self) -> int:
        """Bytes that are allocated."""
        return sum(batch.n_bytes for batch in self.batches)

    @property
    def extrapolates(self) -> bool:
        """Whether some layers are left out."""
        return any(len(kind.measured) < len(kind.layers) for kind in self.kinds)


def rank_inventory(tensors: Iterable[RankTensor], scheme: QuantScheme, layers_of_each_kind: int | None) -> Inventory:
    """The arrays of a rank; of each kind of layer the first `layers_of_each_kind`, or all.

    Raises:
        InputError: fewer than one layer, or a matrix the format cannot store.
    """
    if layers_of_each_kind is not None and layers_of_each_kind < 1:
        raise InputError(f"--layers is {layers_of_each_kind}; it counts layers of each kind and is at least 1")
    pieces = list(_pieces(tensors, scheme))
    kinds = _kinds(pieces, layers_of_each_kind)
    predicted: dict[Role, int] = {}
    for part, fmt in pieces:
        predicted[part.role] = predicted.get(part.role, 0) + part_bytes(part, fmt)
    batches = []
    for role in predicted:
        mine = [piece for piece in pieces if piece[0].role is role]
        for kind in (None, *kinds):
            arrays = tuple(a for part, fmt in mine for a in _arrays(part, fmt, kind))
            if arrays:
                batches.append(Batch(role, kind, arrays))
    return Inventory(tuple(batches), kinds, {role: n for role, n in predicted.items() if n})


def _pieces(tensors: Iterable[RankTensor], scheme: QuantScheme) -> Iterable[_Piece]:
    """What a rank holds, split by format; the whole tensor decides the format, as quantisers see it."""
    for held in tensors:
        if held.part.tied_to:
            continue
        for piece, fmt in scheme.parts(held.whole):
            part = held.part if piece.layers == held.part.layers else held.part.only(piece.layers or ())
            yield part, scheme.format_of(part, fmt)


def _tower(part: Tensor) -> str:
    return part.role.value if part.role in _TOWERS else ""


def _kinds(pieces: list[_Piece], wanted: int | None) -> tuple[LayerKind, ...]:
    """Layers by what they hold, in the order in which the kinds first occur."""
    held: dict[tuple[str, int], list[int]] = {}
    for number, (part, _) in enumerate(pieces):
        for layer in part.layers or ():
            held.setdefault((_tower(part), layer), []).append(number)
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for (tower, layer), numbers in sorted(held.items()):
        groups.setdefault((tower, tuple(numbers)), []).append(layer)
    return tuple(LayerKind(tuple(ls), tuple(ls[:wanted]), tower) for (tower, _), ls in groups.items())


def _arrays(part: Tensor, fmt: WeightFormat, kind: LayerKind | None) -> Iterable[Array]:
    """The arrays of a part in the allocated layers of a kind, one for all experts of a layer."""
    if kind is None:
        layers = 1 if part.layers is None else 0
    elif kind.tower == _tower(part) and part.layers and kind.layers[0] in part.layers:
        layers = len(kind.measured)
    else:
        layers = 0
    stacked = (part.experts,) if part.experts else ()
    for array in arrays_of(part, fmt):
        yield from (Array(module_of(part) + array.suffix, stacked + array.shape, array.dtype),) * layers
