"""What a number of GPUs costs by the hour: the cheapest set of equal instances that holds them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from moesize.hardware.instances import Instance, list_instances, priced_by
from moesize.units import ceil_div


class Rental(NamedTuple):
    """`nodes` instances of one type, their price and where and when it was seen."""

    instance: str
    nodes: int
    usd_per_hour: float
    region: str | None
    date: str | None
    kind: str | None

    def __str__(self) -> str:
        return self.instance if self.nodes == 1 else f"{self.nodes}× {self.instance}"


def cheapest_rental(
    gpu_id: str, gpus: int, *, per_node: int = 1, prices: Mapping[str, float] | None = None
) -> Rental | None:
    """The cheapest equal instances that hold `gpus` whole GPUs, at least `per_node` of them on each.

    Tensor parallelism wants its ranks on one node: give its size as `per_node`. None when no priced instance will do.
    """
    found = [_rental(priced_by(i, prices), gpus) for i in _of_gpu().get(gpu_id, ()) if i.gpu_count >= per_node]
    return min((r for r in found if r), key=lambda r: (r.usd_per_hour, r.nodes, r.instance), default=None)


def _rental(instance: Instance, gpus: int) -> Rental | None:
    if instance.usd_per_hour is None or instance.gpu_fraction != 1:
        return None
    nodes = ceil_div(gpus, instance.gpu_count)
    cost = nodes * instance.usd_per_hour
    return Rental(instance.name, nodes, cost, instance.price_region, instance.price_date, instance.price_kind)


@lru_cache(maxsize=1)
def _of_gpu() -> dict[str, list[Instance]]:
    """Instances by the GPU they hold."""
    held: dict[str, list[Instance]] = {}
    for instance in list_instances():
        held.setdefault(instance.gpu_id, []).append(instance)
    return held
