"""Bytes of weights: every tensor under its scheme, summed by role."""

from collections.abc import Iterable

from moesize.memory.sharding import RankTensor
from moesize.model.spec import ModelSpec, Role
from moesize.quant.scheme import QuantScheme
from moesize.quant.sizes import checkpoint_bytes
from moesize.units import ceil_div


def weights_by_role(tensors: Iterable[RankTensor], scheme: QuantScheme) -> dict[Role, int]:
    """Bytes a rank holds, by role, in the form the checkpoint stores them."""
    by_role: dict[Role, int] = {}
    for tensor in tensors:
        by_role[tensor.part.role] = by_role.get(tensor.part.role, 0) + scheme.tensor_bytes(tensor.part)
    return {role: n for role, n in by_role.items() if n}


def published_share_bytes(spec: ModelSpec, scheme: QuantScheme, gpus: int) -> int:
    """What one of `gpus` holds of a model of which only totals are published: an even share, for want of a layout."""
    return ceil_div(checkpoint_bytes(spec, scheme), gpus)
