"""The image encoder's part of the profile run: the most and the largest items a step may encode, all at once.

Sources: vllm `v1/worker/gpu_model_runner.py` (profile_run), `v1/worker/utils.py` (MultiModalBudget),
`v1/core/encoder_cache_manager.py` (budgets) and the families' processors (largest image or video).
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import NamedTuple

from moesize.engines.base import Request
from moesize.engines.vllm.activations import Step
from moesize.engines.vllm.constants import Rules
from moesize.engines.vllm.sampler import second_runner
from moesize.memory.sharding import RankTensor
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor
from moesize.units import DTYPE_BYTES

#: A tower's blocks are told from what stands beside them by how often they repeat.
_BLOCKS = 8
_DEEPSTACK = "deepstack_merger_list"


class Encoder(NamedTuple):
    """Bytes on one rank: the encoder's own peak with its interval, and what is kept while the model runs."""

    low: int = 0
    peak: int = 0
    high: int = 0
    kept: int = 0


class _Item(NamedTuple):
    """The largest image or video a family's processor makes."""

    patches: int
    tokens: int  # it takes of a prompt
    rows: int  # of embeddings


def known_encoder(spec: ModelSpec, rules: Rules) -> bool:
    """Whether the largest image of this model's family is known for this version."""
    return spec.architecture in rules.entry("encoders")["families"]


def encoder_of(request: Request, tensors: Iterable[RankTensor], step: Step, rules: Rules) -> Encoder:
    """What the profile run takes to encode; nothing for models without a tower, or of families nothing is known of."""
    entry, spec = rules.entry("encoders"), request.spec
    tower = [t.part for t in tensors if t.part.role is Role.VISION]
    if not known_encoder(spec, rules) or not tower:
        return Encoder()
    family = entry["families"][spec.architecture]
    item = _largest_item(family, step)
    budget = max(step.batched_tokens, item.tokens)
    held_by_requests = step.seqs * max(1, step.max_model_len // item.tokens)
    items = max(1, min(budget // item.tokens, held_by_requests))
    width = DTYPE_BYTES[spec.dtype]
    of_patch = family.get("pixels") or max((prod(t.shape[1:]) for t in tower if t.kind is Kind.CONV), default=0)
    pixels = items * item.patches * of_patch * width
    peak = items * item.patches * width * _tower_width(tower) + pixels
    row = (spec.hidden_size or 0) * (1 + deepstack_levels(tower)) * width
    kept = items * item.rows * row
    padded = {"item": item.tokens, "budget": budget}.get(entry["padded_to"], 0)
    if item.rows < padded:
        kept = (items * padded + item.rows) * row  # the last one is still held beside its padded copy
    if not second_runner(request, rules):
        kept += pixels  # profile_run holds its inputs until it returns
    low, high = (round(peak * entry["spread"][side]) for side in ("low", "high"))
    return Encoder(low, peak, high, kept)


def deepstack_levels(tensors: Iterable[Tensor]) -> int:
    """How many layers' states a tower hands to the model beside its output (Qwen3-VL)."""
    return max((t.repeats for t in tensors if _DEEPSTACK in t.name), default=0)


def _largest_item(family: Mapping[str, int], step: Step) -> _Item:
    """An image, or a video of as many pairs of frames of its size as a context of max_model_len holds."""
    tokens = family["tokens"]
    held = (step.max_model_len - family.get("tokens_beside_a_video", 0)) // tokens
    pairs = max(1, min(family.get("most_frame_pairs", 1), held))
    return _Item(pairs * family["patches"], pairs * tokens, pairs * family.get("rows", tokens))


def _tower_width(tower: list[Tensor]) -> int:
    """Columns alive in a block of the tower: two hidden rows, what its widest layer makes, and what comes out of it."""
    into: dict[str, int] = {}
    hidden = inner = 0
    for tensor in (t for t in tower if t.kind is Kind.LINEAR and t.repeats >= _BLOCKS):
        if tensor.split is Split.ROW:
            hidden, inner = max(hidden, tensor.out_features), max(inner, tensor.in_features)
        else:
            name = tensor.name.rsplit(".", 2)[0]
            into[name] = into.get(name, 0) + tensor.out_features
    return 2 * hidden + max(into.values(), default=0) + inner
