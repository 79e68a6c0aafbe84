"""One array of a checkpoint in all its layers and experts: its shape, what it is for, and how it may be divided.

Shapes follow the checkpoint: a matrix is `[out_features, in_features]` unless `transposed`. A tensor stands for all the
layers and experts it repeats in, so a model of hundreds of thousands of arrays is some thirty objects.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod
from typing import NamedTuple


class Role(StrEnum):
    """What a tensor is for."""

    EMBEDDING = "embedding"
    POSITION_EMBEDDING = "position_embedding"
    LM_HEAD = "lm_head"
    ATTENTION = "attention"
    LINEAR_ATTENTION = "linear_attention"
    STATE_SPACE = "state_space"
    INDEXER = "indexer"
    ROUTER = "router"
    ROUTED_EXPERT = "routed_expert"
    SHARED_EXPERT = "shared_expert"
    MLP = "mlp"
    NORM = "norm"
    VISION = "vision"
    AUDIO = "audio"
    MTP = "mtp"
    NOT_LOADED = "not_loaded"
    OTHER = "other"


class Kind(StrEnum):
    """What sort of array a tensor is; quantisers choose by it."""

    LINEAR = "linear"  # a matrix multiplied with activations
    EMBEDDING = "embedding"  # a table that is looked up
    VECTOR = "vector"  # norms, biases, scalars, sinks
    CONV = "conv"
    PARAMETER = "parameter"  # any other array that is neither looked up nor multiplied as a Linear


class Split(StrEnum):
    """How tensor parallelism divides a tensor."""

    REPLICATED = "replicated"
    COLUMN = "column"  # the output dimension
    ROW = "row"  # the input dimension
    VOCAB = "vocab"  # the output dimension, padded by the engine


class Segment(NamedTuple):
    """A run of the split dimension that is made of whole heads: a rank takes `units / tp` of them.

    `replicable` heads (keys and values) are copied when there are more ranks than heads.
    """

    size: int
    units: int
    replicable: bool = False


@dataclass(frozen=True, slots=True)
class Tensor:
    """An array of the checkpoint, in all its layers and experts.

    Attributes:
        name: As in the checkpoint, with `{layer}` and `{expert}` where it repeats. A tensor with experts but without
            `{expert}` is stored stacked, experts first.
        shape: Of one layer and one expert.
        role: What it is for.
        kind: What sort of array it is.
        layers: Indices of the layers that have it; None when it stands outside the layers.
        experts: How many experts have it; 0 when it belongs to none.
        active_experts: How many of them a token uses.
        split: How tensor parallelism divides it.
        segments: The heads along the split dimension; empty when any even division will do.
        transposed: A matrix stored `[in_features, out_features]`.
        dtype: When it differs from the model's.
        tied_to: The name of the tensor whose storage it shares; it then has no bytes of its own.
        loaded: False for what a checkpoint stores and an engine leaves out (MTP and draft layers).
        buffer: Stored and loaded, but no parameter (router score corrections): bytes without a count.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    kind: Kind = Kind.LINEAR
    layers: tuple[int, ...] | None = None
    experts: int = 0
    active_experts: int = 0
    split: Split = Split.REPLICATED
    segments: tuple[Segment, ...] = ()
    transposed: bool = False
    dtype: str | None = None
    tied_to: str | None = None
    loaded: bool = True
    buffer: bool = False

    @property
    def repeats(self) -> int:
        """In how many layers it stands."""
        return 1 if self.layers is None else len(self.layers)

    @property
    def copies(self) -> int:
        """How many arrays of `shape` there are, over all layers and experts."""
        return self.repeats * max(1, self.experts)

    @property
    def parameters(self) -> int:
        """Elements over all layers and experts; 0 for buffers and tied weights, which count where they are stored."""
        return 0 if self.tied_to or self.buffer else prod(self.shape) * self.copies

    @property
    def active_parameters(self) -> int:
        """Elements one token uses."""
        if not self.experts:
            return self.parameters
        return 0 if self.tied_to or self.buffer else prod(self.shape) * self.repeats * self.active_experts

    @property
    def stacked(self) -> bool:
        """Whether the experts are one array in the checkpoint."""
        return bool(self.experts) and "{expert}" not in self.name

    @property
    def out_features(self) -> int:
        """Rows of the matrix as it is multiplied; the length of a vector."""
        return self.shape[-1] if self.transposed else self.shape[max(0, len(self.shape) - 2)]

    @property
    def in_features(self) -> int:
        """Columns of the matrix as it is multiplied; 1 for a vector."""
        if len(self.shape) < 2:
            return 1
        return self.shape[-2] if self.transposed else self.shape[-1]

    def only(self, layers: tuple[int, ...]) -> "Tensor":
        """The same tensor in some of its layers."""
        return replace(self, layers=layers)


def unloaded_role(tensors: Iterable[Tensor]) -> Role:
    """As what counts show the tensors of a model that are stored and not loaded.

    Prediction (MTP) layers have a feed-forward part. What else a checkpoint stores in vain (a draft head's copy of an
    embedding, keys and values of layers that read another layer's) is no layer of its own.
    """
    feed_forward = any(t.role in (Role.MLP, Role.ROUTED_EXPERT) for t in tensors if not t.loaded)
    return Role.MTP if feed_forward else Role.NOT_LOADED
