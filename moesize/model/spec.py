"""What a model is: a list of tensors and a list of caches. Every count is derived from these two lists.

Small records are named tuples: every command creates these classes anew, and they cost a quarter of a dataclass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from moesize.model.caches import Attention, Cache, CacheKind, Rope, State
from moesize.model.tensors import Kind, Role, Segment, Split, Tensor, unloaded_role

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
    "unloaded_role",
]


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
    not_loaded = unloaded_role(tensors)
    for tensor in tensors:
        role = (tensor.role if tensor.loaded else not_loaded).value
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
