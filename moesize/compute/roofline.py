"""Bytes a step reads and sends, and the time bandwidth, peak rate and links set for it. Real servers take longer."""

from collections.abc import Iterable
from dataclasses import replace
from math import prod
from typing import Literal, NamedTuple

from moesize.compute.experts import expected_distinct_experts
from moesize.compute.flops import is_encoder
from moesize.hardware.gpu import GpuSpec
from moesize.memory.sharding import RankTensor
from moesize.model.spec import Kind, ModelSpec, Role
from moesize.quant.scheme import QuantScheme
from moesize.quant.sizes import typical_bits

Binds = Literal["bandwidth", "compute", "host link", "all-to-all", "host memory"]

#: Rows of a table are looked up, not read whole; towers and encoders have done their work before decoding.
_NOT_READ = (Role.EMBEDDING, Role.POSITION_EMBEDDING, Role.VISION, Role.AUDIO)
#: Bytes of an activation element sent between ranks.
_SENT_BYTES = 2


class StepTime(NamedTuple):
    """The least seconds a step takes on one rank, by what it waits for; None where the GPU's figure is not known.

    `host_memory` is what the CPU takes to read the weights it computes with, while the GPU waits.
    """

    bandwidth: float | None
    compute: float | None
    host_link: float = 0.0
    all_to_all: float = 0.0
    host_memory: float = 0.0
    link_overlaps: bool = False

    @property
    def seconds(self) -> float | None:
        """Memory and compute overlap; the links and the CPU come on top, but for a link that is used ahead of need."""
        known = [t for t in (self.bandwidth, self.compute) if t is not None]
        if not known and not self.host_memory:
            return None
        busy = max(known, default=0.0) + self.all_to_all + self.host_memory
        return max(busy, self.host_link) if self.link_overlaps else busy + self.host_link

    @property
    def binds(self) -> Binds | None:
        """What takes longest."""
        times: dict[Binds, float | None] = {
            "bandwidth": self.bandwidth,
            "compute": self.compute,
            "host link": self.host_link,
            "all-to-all": self.all_to_all,
            "host memory": self.host_memory,
        }
        longest = max(times, key=lambda name: times[name] or 0.0)
        return longest if times[longest] else None


def weights_read_bytes(tensors: Iterable[RankTensor], scheme: QuantScheme, batch: int) -> int:
    """Weight bytes one rank reads to decode one token of each of `batch` sequences under balanced routing."""
    return round(sum(_read_bytes(tensor, scheme, batch) for tensor in tensors))


def published_read_bytes(spec: ModelSpec, scheme: QuantScheme, gpus: int) -> int:
    """Weight bytes one of `gpus` reads per token of a model of which only totals are published: the active share."""
    return round((spec.counts.active if spec.counts else 0) * typical_bits(scheme) / 8 / gpus)


def _read_bytes(tensor: RankTensor, scheme: QuantScheme, batch: int) -> float:
    whole, part = tensor.whole, tensor.part
    if part.role in _NOT_READ or is_encoder(part):
        return 0.0
    if whole.tied_to:  # the head that shares the embedding's table reads all of it, as the table is stored
        table = replace(whole, name=whole.tied_to, tied_to=None, role=Role.EMBEDDING, kind=Kind.EMBEDDING)
        return held_bytes(RankTensor(table, part), scheme) if part.kind is Kind.LINEAR else 0.0
    held = held_bytes(tensor, scheme)
    if not whole.experts:
        return held
    return held * expected_distinct_experts(whole.experts, whole.active_experts, batch) / whole.experts


def held_bytes(tensor: RankTensor, scheme: QuantScheme) -> float:
    """Bytes of a tensor on its rank: the rank's share of the elements."""
    whole, part = tensor
    return scheme.tensor_bytes(whole) * prod(part.shape) * part.copies / (prod(whole.shape) * whole.copies)


def all_to_all_bytes(tensors: Iterable[RankTensor], hidden_size: int, tokens: float, ranks: int) -> float:
    """Bytes one rank sends in a step to spread `tokens` over the experts of other ranks, and to gather them again."""
    if ranks <= 1:
        return 0.0
    routed = [t.whole for t in tensors if t.whole.role is Role.ROUTED_EXPERT]
    per_layer = {layer: t.active_experts for t in routed for layer in t.layers or ()}
    hops = sum(min(k, ranks) for k in per_layer.values())
    return 2 * hops * tokens / ranks * hidden_size * _SENT_BYTES * (ranks - 1) / ranks


def step_time(gpu: GpuSpec, *, read_bytes: float, flops: float, dtype: str, sent_bytes: float = 0.0) -> StepTime:
    """The parts of a step's time on one rank.

    `dtype` names the peak rate the products run at; where the GPU has no such rate, its bf16 or fp16 rate counts.
    """
    rates = gpu.tflops_dense
    peak = rates.get(dtype) or rates.get("bf16") or rates.get("fp16")
    return StepTime(
        bandwidth=read_bytes / gpu.bandwidth_bytes_per_second if gpu.bandwidth_bytes_per_second else None,
        compute=flops / (peak * 1e12) if peak else None,
        all_to_all=sent_bytes / gpu.peer_bytes_per_second if gpu.peer_bytes_per_second else 0.0,
    )
