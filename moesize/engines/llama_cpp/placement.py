"""Which layers llama.cpp puts on which GPU, and what stays in host memory.

Source: https://github.com/ggml-org/llama.cpp `src/llama-model.cpp` (load_tensors: `get_layer_buft_list`): the last
`-ngl` of the layers and the output go to the GPUs, in runs proportional to their memory; the input embedding stays on
the host.
"""

from bisect import bisect_right
from dataclasses import dataclass

from moesize.engines.base import Held
from moesize.errors import InputError
from moesize.memory.offload import LayerWeights

#: Hidden states are float32 between layers.
_STATE_BYTES = 4
#: `-ngl` that stands for everything.
ALL_LAYERS = 10**6


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU: its layers, and whether it holds the output; `layers` are indices."""

    layers: tuple[int, ...]
    output: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything lies.

    Attributes:
        devices: The GPUs in order.
        host_layers: Layers kept whole in host memory.
        host_expert_layers: Layers on a GPU whose experts are in host memory.
    """

    devices: tuple[Device, ...]
    host_layers: tuple[int, ...]
    host_expert_layers: frozenset[int]


def place(num_layers: int, gpus: int, n_gpu_layers: int | None, n_cpu_moe: int | None) -> Placement:
    """The placement of `-ngl` and `--n-cpu-moe` over equal GPUs.

    Raises:
        InputError: a negative number.
    """
    for name, value in (("--n-gpu-layers", n_gpu_layers), ("--n-cpu-moe", n_cpu_moe)):
        if value is not None and value < 0:
            raise InputError(f"{name} is {value}; it counts layers and is not negative")
    offered = ALL_LAYERS if n_gpu_layers is None else n_gpu_layers
    active = min(offered, num_layers + 1)
    first = num_layers + 1 - active
    ends = [(k + 1) / gpus for k in range(gpus)]
    held: list[list[int]] = [[] for _ in range(gpus)]
    output = -1
    for position in range(first, num_layers + 1):
        gpu = min(bisect_right(ends, (position - first) / active), gpus - 1)
        if position == num_layers:
            output = gpu
        else:
            held[gpu].append(position)
    return Placement(
        devices=tuple(Device(tuple(layers), i == output) for i, layers in enumerate(held)),
        host_layers=tuple(range(min(first, num_layers))),
        host_expert_layers=frozenset(range(min(n_cpu_moe or 0, num_layers))),
    )


def device_weights(device: Device, placement: Placement, weights: LayerWeights) -> tuple[int, int]:
    """Bytes of one GPU: of experts, and of everything else."""
    experts = sum(weights.expert_bytes.get(i, 0) for i in device.layers if i not in placement.host_expert_layers)
    rest = sum(weights.other_bytes.get(i, 0) for i in device.layers) + (weights.output_bytes if device.output else 0)
    return experts, rest


def held_by(device: Device, placement: Placement, weights: LayerWeights, cache_share: float) -> Held:
    """What one GPU reads of its own."""
    experts, rest = device_weights(device, placement, weights)
    return Held(rest, experts, cache_share)


def held_by_host(placement: Placement, weights: LayerWeights, cache_share: float) -> Held:
    """What the CPU computes with; the input embedding is in host memory too, but only looked up."""
    on_gpu = {i for device in placement.devices for i in device.layers}
    layers = [*placement.host_layers, *(placement.host_expert_layers & on_gpu)]
    whole = sum(weights.other_bytes.get(i, 0) for i in placement.host_layers)
    output = 0 if any(device.output for device in placement.devices) else weights.output_bytes
    return Held(whole + output, sum(weights.expert_bytes.get(i, 0) for i in layers), cache_share)


def crossing_bytes_per_token(placement: Placement, weights: LayerWeights, hidden_size: int, per_token: int) -> int:
    """Hidden states a token sends over PCIe, in float32: to the CPU's experts one, back one of each expert.

    The products alone follow their weights to the CPU; weighting and adding the experts' outputs stays on the GPU
    (`ggml_backend_sched_split_graph`). Whole layers on the CPU are one run, which ends with one hidden state.
    """
    on_gpu = {i for device in placement.devices for i in device.layers if i in weights.expert_bytes}
    states = len(placement.host_expert_layers & on_gpu) * (1 + per_token)
    states += bool(placement.host_layers and any(device.layers for device in placement.devices))
    return states * hidden_size * _STATE_BYTES
