"""The image encoder's part of the profile run: the most and the largest images a step may encode, all at once.

Source: vllm `v1/worker/gpu_model_runner.py` (profile_run), `v1/core/encoder_cache_manager.py` (compute budget) and the
families' processors (largest image).
"""

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

from moesize.engines.base import Request
from moesize.engines.vllm.activations import Step
from moesize.engines.vllm.constants import Rules
from moesize.memory.sharding import RankTensor
from moesize.model.spec import Kind, Role, Split
from moesize.units import DTYPE_BYTES

#: A tower's blocks are told from what stands beside them by how often they repeat.
_BLOCKS = 8


class Encoder(NamedTuple):
    """Bytes on one rank: the encoder's own peak with its interval, and the embeddings kept while the model runs."""

    low: int = 0
    peak: int = 0
    high: int = 0
    kept: int = 0


def encoder_of(request: Request, tensors: Iterable[RankTensor], step: Step, rules: Rules) -> Encoder:
    """What the profile run takes to encode; nothing for models without a tower, or of families nothing is known of."""
    entry = rules.entry("encoders")
    family = entry["families"].get(request.spec.architecture)
    tower = [t.part for t in tensors if t.part.role is Role.VISION]
    if family is None or not tower:
        return Encoder()
    width = DTYPE_BYTES[request.spec.dtype]
    images = max(1, step.batched_tokens // family["tokens"])
    patches = images * family["patches"]
    blocks = [t for t in tower if t.kind is Kind.LINEAR and t.repeats >= _BLOCKS]
    rows: dict[str, int] = {}
    hidden = inner = 0
    for tensor in blocks:
        if tensor.split is Split.ROW:
            hidden, inner = max(hidden, tensor.out_features), max(inner, tensor.in_features)
        else:
            name = tensor.name.rsplit(".", 2)[0]
            rows[name] = rows.get(name, 0) + tensor.out_features
    pixels = max((prod(t.shape[1:]) for t in tower if t.kind is Kind.CONV), default=0)
    peak = patches * width * (2 * hidden + max(rows.values(), default=0) + inner + pixels)
    kept = images * family["tokens"] * (request.spec.hidden_size or 0) * width
    low, high = (round(peak * entry["spread"][side]) for side in ("low", "high"))
    return Encoder(low, peak, high, kept)
