"""From the names deployment files use for GPUs to the catalogue's: the edge where facts meet the hardware."""

import re
from dataclasses import dataclass
from typing import Final

from moesize.errors import UnknownNameError
from moesize.gate.facts import GpuChoice

#: Names that mean one memory size to a platform and several to everybody else
#: (https://docs.skypilot.co/en/latest/reference/yaml-spec.html, https://docs.ray.io/en/latest/ray-core/accelerator-types.html).
_PLATFORM_NAMES: Final = {
    "skypilot": {"a100": "A100-40GB", "v100": "V100-16GB"},
}
_SIZE_SUFFIX: Final = re.compile(r"(.+?)[-_ ]?(\d{1,3})\s*gb?", re.IGNORECASE)
#: Words some clouds put into the name that tell nothing about memory.
_FILLERS: Final = re.compile(r"[-_ ](?:nvlink|oam)(?=$|[-_ ])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ResolvedGpu:
    """A GPU as `load_gpu` takes it, and how many an instance has of it; None where no instance was named."""

    name: str
    count: int | None = None
    #: The instance's devices are this share of a GPU.
    fraction: float = 1.0


def resolve_gpus(choice: GpuChoice, format_name: str = "") -> tuple[ResolvedGpu, ...]:
    """What a choice can mean; several where the name leaves the memory or the form factor open.

    Raises:
        UnknownNameError: a name nothing is known by.
    """
    name = choice.name.value
    if choice.by == "memory":
        return (ResolvedGpu(name),)
    if choice.by == "instance":
        from moesize.hardware.instances import load_instance  # noqa: PLC0415  reads a file per cloud

        instance = load_instance(name)
        return (ResolvedGpu(instance.gpu_id, instance.gpu_count, float(instance.gpu_fraction)),)
    if choice.mig and name.startswith("mig-"):
        # The card is not said; the profile's own memory is. The driver gives no more than that.
        return (ResolvedGpu(f"{choice.memory_gib.value:g}GB" if choice.memory_gib else name),)
    name = _PLATFORM_NAMES.get(format_name, {}).get(name.lower(), name)
    ids = _find(name, choice.memory_gib.value if choice.memory_gib and not choice.mig else None)
    return tuple(ResolvedGpu(f"{gpu_id}:{choice.mig}" if choice.mig else gpu_id) for gpu_id in ids)


def _find(name: str, memory_gib: float | None) -> tuple[str, ...]:
    from moesize.hardware import catalogue  # noqa: PLC0415  reads the index

    name = _FILLERS.sub("", name)
    try:
        ids = catalogue.find(name)
    except UnknownNameError:
        match = _SIZE_SUFFIX.fullmatch(name)
        if match is None:
            raise
        ids = _of_size(catalogue.find(match.group(1)), float(match.group(2)))
        if not ids:
            raise
    if memory_gib is None or len(ids) == 1:
        return ids
    return _of_size(ids, memory_gib) or ids


def _of_size(ids: tuple[str, ...], gigabytes: float) -> tuple[str, ...]:
    from moesize.hardware.gpu import load_gpu  # noqa: PLC0415

    return tuple(i for i in ids if abs(load_gpu(i).nominal_gb - gigabytes) <= 0.05 * gigabytes)
