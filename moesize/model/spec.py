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
