"""Bytes a decoding step reads, and the bound that bandwidth and peak rate set. Real servers reach less."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, NamedTuple

from moesize.compute.experts import expected_distinct_experts
from moesize.compute.flops import is_encoder
from moesize.hardware.gpu import GpuSpec
from moesize.memory.sharding import RankTensor
from moesize.model.spec import Kind, ModelSpec, Role
from moesize.quant.scheme import QuantScheme
from moesize.quant.sizes import typical_bits

#: Rows of a table are looked up, not read whole; towers and encoders have done their work before decoding.
_NOT_READ = (Role.EMBEDDING, Role.POSITION_EMBEDDING, Role.VISION, Role.AUDIO)


class DecodeBound(NamedTuple):
    """The fastest a step can be: seconds, and what binds."""

    seconds: float
    bound_by: Literal["bandwidth", "compute"]


def weights_read_bytes(tensors: Iterable[RankTensor], scheme: QuantScheme, batch: int) -> int:
    """Weight bytes one rank reads to decode one token of each of `batch` sequences under balanced routing."""
    return round(sum(_read_bytes(tensor, scheme, batch) for tensor in tensors))


def published_read_bytes(spec: ModelSpec, scheme: QuantScheme, gpus: int) -> int:
    """Weight bytes one of `gpus` reads per token of a model of which only totals are published: the active share."""
    return round((spec.counts.active if spec.counts else 0) * typical_bits(scheme) / 8 / gpus)


def _read_bytes(tensor: RankTensor, scheme: QuantScheme, batch: int) -> float:
    part = tensor.part
    if part.role in _NOT_READ or is_encoder(part):
        return 0.0
    if part.tied_to:  # the head that shares the embedding's table reads all of it
        return 0.0 if part.kind is not Kind.LINEAR else _tied_bytes(tensor, scheme)
    held = scheme.tensor_bytes(part)
    if not tensor.whole.experts:
        return held
    touched = expected_distinct_experts(tensor.whole.experts, tensor.whole.active_experts, batch)
    return held * touched / tensor.whole.experts


def _tied_bytes(tensor: RankTensor, scheme: QuantScheme) -> float:
    return scheme.tensor_bytes(replace(tensor.part, tied_to=None))


def decode_bound(read_bytes: int, flops: float, gpu: GpuSpec, dtype: str) -> DecodeBound | None:
    """The bound of one step on one rank; None where the GPU's bandwidth is not known.

    `dtype` names the peak rate products run at (`bf16`, `fp8`, …); a GPU without a figure is bound by bandwidth alone.
    """
    if gpu.bandwidth_bytes_per_second is None:
        return None
    by_bandwidth = read_bytes / gpu.bandwidth_bytes_per_second
    peak = gpu.tflops_dense.get(dtype) or gpu.tflops_dense.get("fp16")
    by_compute = flops / (peak * 1e12) if peak else 0.0
    if by_compute > by_bandwidth:
        return DecodeBound(by_compute, "compute")
    return DecodeBound(by_bandwidth, "bandwidth")
