"""What one rank holds of every tensor: split by tensor parallelism, whole, or whole experts by expert parallelism.

The rules are those of vLLM's layers (`layers/linear.py`, `layers/vocab_parallel_embedding.py`,
`layers/fused_moe/config.py`); engines that differ say so in their `ShardingRules`.
"""

from dataclasses import replace
from typing import NamedTuple

from moesize.memory.layout import Layout, LayoutError, Stage
from moesize.model.spec import ModelSpec, Role, Segment, Split, Tensor
from moesize.units import ceil_div, round_up

#: What stands outside the layers and belongs to the first stage; the rest belongs to the last.
_FIRST_STAGE_ROLES = (Role.EMBEDDING, Role.POSITION_EMBEDDING)
_TOWERS = (Role.VISION, Role.AUDIO)


class ShardingRules(NamedTuple):
    """Where engines differ.

    Attributes:
        vocab_multiple: The vocabulary is padded to a multiple of this before it is split; 1 = not padded.
        experts_over_dp: Without EP, experts are split over tp × dp ranks (vLLM's flattened tensor parallelism).
        redundant_experts: Extra copies of experts EPLB spreads over the ranks.
        ends_on_every_stage: Embedding, final norm and head are built on every pipeline stage, not on the ends alone.
        towers_whole: Vision and audio towers are on every rank, which then share the images (vLLM's
            `--mm-encoder-tp-mode data`).
    """

    vocab_multiple: int = 64
    experts_over_dp: bool = True
    redundant_experts: int = 0
    ends_on_every_stage: bool = False
    towers_whole: bool = False


class RankTensor(NamedTuple):
    """A tensor of the model and the part of it the fullest rank of a stage holds."""

    whole: Tensor
    part: Tensor


#: What was divided before, with the tensors it was made of so that an id stays its owner's: comparisons ask for the
#: same layouts of one model on card after card.
_held: dict[tuple[int, Layout, Stage, ShardingRules], tuple[tuple[Tensor, ...], tuple[RankTensor, ...]]] = {}
_MOST_HELD = 512


def rank_tensors(
    spec: ModelSpec, layout: Layout, stage: Stage, rules: ShardingRules | None = None
) -> tuple[RankTensor, ...]:
    """Every loaded tensor of a stage, as its fullest rank holds it.

    Raises:
        LayoutError: a dimension that does not divide as the engine divides it.
    """
    rules = rules or ShardingRules()
    key = (id(spec.tensors), layout, stage, rules)
    known = _held.get(key)
    if known is None or known[0] is not spec.tensors:
        if len(_held) >= _MOST_HELD:
            _held.clear()
        held = (_in_stage(tensor, stage, rules) for tensor in spec.tensors if tensor.loaded)
        known = _held[key] = (spec.tensors, tuple(RankTensor(t, shard(t, layout, rules)) for t in held if t))
    return known[1]


def _in_stage(tensor: Tensor, stage: Stage, rules: ShardingRules) -> Tensor | None:
    if tensor.role in _TOWERS:
        # A tower's layers are its own, not those the stages divide.
        return tensor if stage.first or rules.ends_on_every_stage else None
    if tensor.layers is None:
        if (stage.first and stage.last) or rules.ends_on_every_stage:
            return tensor
        if tensor.role in _FIRST_STAGE_ROLES:
            # The head that shares the embedding's table needs a copy of it on the last stage.
            return tensor if stage.first else None
        if not stage.last:
            return None
        return replace(tensor, tied_to=None) if tensor.tied_to else tensor
    if stage.first and stage.last:
        return tensor
    mine = tuple(i for i in tensor.layers if i in stage.layers)
    return tensor.only(mine) if mine else None


def shard(tensor: Tensor, layout: Layout, rules: ShardingRules) -> Tensor:
    """The part of `tensor` on the fullest rank.

    Raises:
        LayoutError: heads, experts or a width that do not divide.
    """
    if tensor.experts and layout.ep:
        placed = ceil_div(tensor.experts + rules.redundant_experts, layout.ep_size)
        return replace(tensor, experts=placed)
    if rules.towers_whole and tensor.role in (Role.VISION, Role.AUDIO):
        return tensor
    ways = layout.tp
    if tensor.role is Role.ROUTED_EXPERT and rules.experts_over_dp:
        ways *= layout.dp
    if tensor.role is Role.SHARED_EXPERT and layout.ep and layout.dp > 1 and layout.tp > 1:
        return tensor  # sequence-parallel MoE keeps shared experts whole on every rank
    if ways == 1 or tensor.split is Split.REPLICATED:
        return _pad_vocab(tensor, rules) if tensor.split is Split.VOCAB else tensor
    if tensor.split is Split.VOCAB:
        return _resized(_pad_vocab(tensor, rules), 0, ways)
    return _resized(tensor, split_dim(tensor), ways)


def split_dim(tensor: Tensor) -> int:
    """The dimension of `shape` that column or row splitting divides."""
    if len(tensor.shape) == 1:
        return 0
    if tensor.split is Split.ROW:
        return len(tensor.shape) - 2 if tensor.transposed else len(tensor.shape) - 1
    return len(tensor.shape) - 1 if tensor.transposed else 0


def _pad_vocab(tensor: Tensor, rules: ShardingRules) -> Tensor:
    rows = round_up(tensor.shape[0], rules.vocab_multiple)
    return replace(tensor, shape=(rows, *tensor.shape[1:]))


def _resized(tensor: Tensor, dim: int, ways: int) -> Tensor:
    size = tensor.shape[dim]
    segments = tensor.segments or (Segment(size, size),)
    held = sum(_segment_share(tensor, segment, ways) for segment in segments)
    return replace(tensor, shape=(*tensor.shape[:dim], held, *tensor.shape[dim + 1 :]))


def _segment_share(tensor: Tensor, segment: Segment, ways: int) -> int:
    if segment.units % ways == 0:
        return segment.size // ways
    if segment.replicable and ways % segment.units == 0:
        return segment.size // segment.units
    what = "heads" if tensor.segments else "columns" if tensor.split is Split.ROW else "rows"
    name = tensor.name.replace("{layer}", "N").replace("{expert}", "E")
    raise LayoutError(f"{segment.units} {what} of {name} do not divide over {ways} GPUs")
