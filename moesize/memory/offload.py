"""Weights by layer: what can be put on a GPU or kept in host memory, one layer or its experts at a time."""

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
