"""What of the weights in host memory a step reads there, and what crosses the link between host and GPU."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from moesize.compute.experts import expected_distinct_experts
from moesize.compute.roofline import held_bytes
from moesize.data import read_yaml
from moesize.memory.sharding import RankTensor
from moesize.model.spec import ExpertCounts, Role
from moesize.quant.scheme import QuantScheme

_ROUTING = Path(__file__).with_name("routing.yaml")


class Offloaded(NamedTuple):
    """Weights of one rank that are kept in host memory: dense ones, and routed experts."""

    dense_bytes: float
    expert_bytes: float


def offloaded(tensors: Iterable[RankTensor], scheme: QuantScheme, budget_bytes: int, *, from_end: bool) -> Offloaded:
    """The first layers (or the last) of a rank, tensor by tensor as they are declared, until the budget is full."""
    held = [(t, held_bytes(t, scheme) / t.part.repeats) for t in tensors if t.part.layers and not t.part.buffer]
    layers = sorted({layer for t, _ in held for layer in t.part.layers or ()}, reverse=from_end)
    dense = experts = 0.0
    for layer in layers:
        for tensor, each in held:
            if layer not in (tensor.part.layers or ()):
                continue
            taken = min(each, budget_bytes - dense - experts)
            if tensor.part.role is Role.ROUTED_EXPERT:
                experts += taken
            else:
                dense += taken
    return Offloaded(dense, experts)


def touched_share(experts: ExpertCounts, tokens: float) -> float:
    """The part of a layer's experts that `tokens` tokens select under balanced routing."""
    return (
        expected_distinct_experts(experts.routed, experts.per_token, tokens) / experts.routed if experts.routed else 0.0
    )


def prompt_share(experts: ExpertCounts, tokens: int) -> float:
    """The least part of a layer's experts that `tokens` tokens of a prompt were seen to select."""
    if not experts.routed:
        return 0.0
    return max(experts.per_token / experts.routed, _least_prompt_share() * touched_share(experts, tokens))


@cache
def _least_prompt_share() -> float:
    return float(read_yaml(_ROUTING)["prompt_share"]["least"])
