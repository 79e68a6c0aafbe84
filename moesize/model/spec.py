"""What a model is: a list of tensors and a list of caches. Every count is derived from these two lists.

Shapes follow the checkpoint: a matrix is `[out_features, in_features]` unless `transposed`. A tensor stands for all the
layers and experts it repeats in, so a model of hundreds of thousands of arrays is some thirty objects. Small records
are named tuples: every command creates these classes anew, and they cost a quarter of a dataclass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import prod
from typing import Any, NamedTuple

from moesize.model.caches import Attention, Cache, CacheKind, Rope, State

__all__ = [
    "Attention",
    "Cache",
    "CacheKind",
    "ExpertCounts",
    "Kind",
    "ModelSpec",
    "ParameterCounts",
    "PublishedCounts",
    "PublishedFigure",
    "Role",
    "Rope",
    "Segment",
    "Split",
    "State",
    "Tensor",
    "count_parameters",
]


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

    @property
    def reported_role(self) -> Role:
        """Its role in counts: what is stored and not loaded is counted as `mtp`."""
        return self.role if self.loaded else Role.MTP

    def only(self, layers: tuple[int, ...]) -> "Tensor":
        """The same tensor in some of its layers."""
        return replace(self, layers=layers)


class PublishedFigure(NamedTuple):
    """A count its makers or the Hub state: `what` it counts, in parameters, as printed, with its source.

    `rounding` is what one unit of the last printed digit stands for: 10^8 for 46.7B, 0 for an exact number.
    """

    what: str
    value: float
    source: str
    note: str = ""
    rounding: float = 0.0


class PublishedCounts(NamedTuple):
    """All that is known of a model whose layout is not: enough for weights, nothing else."""

    total: int
    active: int
    experts: int
    experts_per_token: int


class ExpertCounts(NamedTuple):
    """Experts of a layer: `routed` to choose from, `shared` always used, `per_token` chosen."""

    routed: int = 0
    shared: int = 0
    per_token: int = 0


class ParameterCounts(NamedTuple):
    """Parameter counts under the conventions vendors use; see `docs/counts.md`."""

    total: int
    active: int
    active_excluding_input_embedding: int
    active_excluding_embeddings: int
    by_role: Mapping[str, int]
    stored_not_loaded: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model: its tensors, its caches, and what its configuration says beside them.

    Attributes:
        name: What the user is shown.
        source: Where the facts come from: a catalogue entry, a file, a Hub id with revision.
        architecture: The family that read the configuration.
        num_layers: Transformer layers (encoder and decoder together in an encoder-decoder).
        hidden_size: Width of the residual stream; None where unknown.
        vocab_size: Rows of the output head; None where unknown.
        context_length: The longest position the configuration allows; None where it states none.
        dtype: Of the weights that are not quantised.
        shared_experts: Experts every token uses, as the configuration counts them.
        quantization_config: The checkpoint's own, read by `moesize.quant.checkpoint` alone.
        counts: Set for models of which only totals are published.
        notes: Sentences the report repeats.
        hub_ids: Repositories that hold it.
        quant_hint: The quantisation its name asked for (`…-AWQ`) when the spec is of the unquantised model.
        stored_bytes: Exact bytes of the tensor data, where headers of the checkpoint were read.
    """

    name: str
    source: str
    architecture: str
    num_layers: int
    hidden_size: int | None
    vocab_size: int | None
    context_length: int | None
    dtype: str
    tensors: tuple[Tensor, ...]
    caches: tuple[Cache, ...] = ()
    attentions: tuple[Attention, ...] = ()
    ropes: tuple[Rope, ...] = ()
    shared_experts: int = 0
    quantization_config: Mapping[str, Any] | None = field(default=None, hash=False)
    counts: PublishedCounts | None = None
    published: tuple[PublishedFigure, ...] = ()
    notes: tuple[str, ...] = ()
    hub_ids: tuple[str, ...] = ()
    quant_hint: str | None = None
    stored_bytes: int | None = None

    @property
    def params(self) -> ParameterCounts:
        """Parameters by convention and role; each stored parameter once."""
        return count_parameters(self.tensors)

    @property
    def experts(self) -> ExpertCounts:
        """Routed and shared experts of a layer, and how many a token is routed to."""
        if self.counts:
            return ExpertCounts(self.counts.experts, 0, self.counts.experts_per_token)
        routed = [t for t in self.tensors if t.role is Role.ROUTED_EXPERT and t.loaded]
        if not routed:
            return ExpertCounts()
        most = max(routed, key=lambda t: t.experts)
        return ExpertCounts(most.experts, self.shared_experts, most.active_experts)

    @property
    def moe_layers(self) -> tuple[int, ...]:
        """Indices of the layers with routed experts."""
        found = {i for t in self.tensors if t.role is Role.ROUTED_EXPERT and t.loaded for i in t.layers or ()}
        return tuple(sorted(found))


def count_parameters(tensors: tuple[Tensor, ...]) -> ParameterCounts:
    """Counts over `tensors`.

    `active` is the total without the experts a token does not select. An input embedding that is tied to the head does
    work there and is left out only of `active_excluding_embeddings`.
    """
    loaded = [t for t in tensors if t.loaded]
    by_role: dict[str, int] = {}
    for tensor in tensors:
        role = tensor.reported_role.value
        by_role[role] = by_role.get(role, 0) + tensor.parameters
    active = sum(t.active_parameters for t in loaded)
    tied = {t.tied_to for t in loaded if t.role is Role.LM_HEAD and t.tied_to}
    tables = (Role.EMBEDDING, Role.POSITION_EMBEDDING)
    looked_up = sum(t.parameters for t in loaded if t.role in tables and t.name not in tied)
    embeddings = sum(t.parameters for t in loaded if t.role in (*tables, Role.LM_HEAD))
    return ParameterCounts(
        total=sum(t.parameters for t in loaded),
        active=active,
        active_excluding_input_embedding=active - looked_up,
        active_excluding_embeddings=active - embeddings,
        by_role={role: n for role, n in by_role.items() if n},
        stored_not_loaded=sum(t.parameters for t in tensors if not t.loaded),
    )
