"""Weights by layer, and how many layers' experts stay on a GPU when the rest is kept in host memory."""

from typing import NamedTuple

from moesize.model.spec import ModelSpec, Role
from moesize.quant.scheme import QuantScheme, part_bytes

#: What is looked up, row by row, and needs no matrix unit.
_INPUT = (Role.EMBEDDING, Role.POSITION_EMBEDDING)
_TOWERS = (Role.VISION, Role.AUDIO)


class LayerWeights(NamedTuple):
    """Bytes of a model by where they can be put.

    Attributes:
        expert_bytes: Layer -> bytes of its routed experts.
        other_bytes: Layer -> bytes of all else in it.
        input_bytes: Embedding tables, which are only looked up.
        output_bytes: Final norm and head; of a tied model, the copy of the table that is multiplied.
        active_share: Part of a layer's experts a token selects.
        largest_expert_tensors: Layer -> bytes of its two largest expert matrices, all experts together.
    """

    expert_bytes: dict[int, int]
    other_bytes: dict[int, int]
    input_bytes: int
    output_bytes: int
    active_share: float
    largest_expert_tensors: dict[int, int]


class HostExperts(NamedTuple):
    """The answer to "how many expert layers stay on this GPU?".

    Attributes:
        gpu_layers: Layers whose experts stay on the GPU.
        host_layers: Layers whose experts are kept in host memory (`--n-cpu-moe`).
        gpu_bytes: Weights on the GPU.
        host_bytes: Experts in host memory.
        host_read_bytes_per_token: Bytes of experts one token selects there: over PCIe where the GPU computes them, from
            host memory where the CPU does; either link's rate divided by it bounds tokens per second.
        activation_bytes_per_token: What crosses PCIe instead when the CPU computes them: a hidden state there and back
            for each layer, in float32.
    """

    gpu_layers: int
    host_layers: int
    gpu_bytes: int
    host_bytes: int
    host_read_bytes_per_token: int
    activation_bytes_per_token: int


def layer_weights(spec: ModelSpec, scheme: QuantScheme) -> LayerWeights:
    """Bytes of every loaded tensor, layer by layer; towers are left out (they are files of their own in GGUF)."""
    experts: dict[int, int] = {}
    other: dict[int, int] = {}
    matrices: dict[int, list[int]] = {}
    tables = output = 0
    for tensor in spec.tensors:
        if not tensor.loaded or tensor.role in _TOWERS:
            continue
        for part, fmt in scheme.parts(tensor):
            n_bytes = part_bytes(part, scheme.format_of(part, fmt))
            if part.layers is None:
                tables += n_bytes if part.role in _INPUT else 0
                output += 0 if part.role in _INPUT else n_bytes
                continue
            each = n_bytes // max(1, part.repeats)
            target = experts if part.role is Role.ROUTED_EXPERT else other
            for layer in part.layers:
                target[layer] = target.get(layer, 0) + each
                if target is experts:
                    matrices.setdefault(layer, []).append(each)
    if any(t.role is Role.LM_HEAD and t.tied_to for t in spec.tensors) or not any(
        t.role is Role.LM_HEAD for t in spec.tensors
    ):
        output += sum(
            scheme.tensor_bytes(t) for t in spec.tensors if t.role is Role.EMBEDDING and t.loaded and not t.layers
        )
    counts = spec.experts
    share = counts.per_token / counts.routed if counts.routed else 0.0
    largest = {layer: sum(sorted(sizes)[-2:]) for layer, sizes in matrices.items()}
    return LayerWeights(experts, other, tables, output, share, largest)


def most_layers_on_gpu(weights: LayerWeights, available_bytes: int, *, hidden_size: int = 0) -> HostExperts | None:
    """The most layers whose experts fit beside everything else on one GPU; None when not even the rest fits.

    Layers are taken from the last on, as `--n-cpu-moe` leaves the first ones in host memory.

    Args:
        weights: The model's, from `layer_weights`.
        available_bytes: What is left for weights, with caches, buffers and the context taken off.
        hidden_size: Width of the residual stream, for what crosses PCIe.
    """
    fixed = sum(weights.other_bytes.values()) + weights.output_bytes
    if fixed > available_bytes:
        return None
    held, kept = fixed, 0
    order = sorted(weights.expert_bytes, reverse=True)
    for layer in order:
        if held + weights.expert_bytes[layer] > available_bytes:
            break
        held += weights.expert_bytes[layer]
        kept += 1
    moved = [weights.expert_bytes[layer] for layer in order[kept:]]
    return HostExperts(
        gpu_layers=kept,
        host_layers=len(moved),
        gpu_bytes=held,
        host_bytes=sum(moved),
        host_read_bytes_per_token=round(sum(moved) * weights.active_share),
        activation_bytes_per_token=len(moved) * hidden_size * 2 * 4,
    )
