"""Peak of one forward pass for engines without rows of their own to calibrate on: an estimate from the widest layer."""

from collections.abc import Iterable

from moesize.memory.sharding import RankTensor
from moesize.model.spec import Kind, Role, Split

_MIXERS = (Role.ATTENTION, Role.LINEAR_ATTENTION, Role.STATE_SPACE)
_MLPS = (Role.MLP, Role.SHARED_EXPERT, Role.ROUTED_EXPERT)


def forward_bytes(tensors: Iterable[RankTensor], *, hidden_size: int, tokens: int, element_bytes: int) -> int:
    """Hidden and residual rows beside what goes in and out of the widest layer, for `tokens` at once.

    A routed expert's columns count for every expert a token selects. One layer's are freed before the next.
    """
    mixer = mlp = 0
    for held in tensors:
        part = held.part
        if part.kind is not Kind.LINEAR or part.split is not Split.ROW:
            continue
        used = max(1, held.whole.active_experts)
        if part.role in _MIXERS:
            mixer = max(mixer, 4 * part.in_features)  # queries, keys and values at most as wide, and the result
        elif part.role in _MLPS:
            mlp = max(mlp, used * (3 * part.in_features + (part.out_features if held.whole.experts else 0)))
    return tokens * element_bytes * (2 * hidden_size + max(mixer, mlp))


def logits_bytes(*, rows: int, vocab_size: int) -> int:
    """A row of logits in the model's 16 bits and a float32 copy of it, per position that is sampled."""
    return rows * vocab_size * 6
