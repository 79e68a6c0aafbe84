"""Bytes of weights: every tensor under its scheme, summed by role."""

from collections.abc import Iterable

from moesize.memory.sharding import RankTensor
from moesize.model.spec import Role
from moesize.quant.scheme import QuantScheme


def weights_by_role(tensors: Iterable[RankTensor], scheme: QuantScheme) -> dict[Role, int]:
    """Bytes a rank holds, by role, in the form the checkpoint stores them."""
    by_role: dict[Role, int] = {}
    for tensor in tensors:
        by_role[tensor.part.role] = by_role.get(tensor.part.role, 0) + scheme.tensor_bytes(tensor.part)
    return {role: n for role, n in by_role.items() if n}
