"""Loading a GPU by any of its names, a MIG slice of one, or a plain amount of memory."""

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from moesize.errors import InputError, printable
from moesize.hardware import catalogue
from moesize.hardware.spec import GpuSpec
from moesize.hardware.spec_file import BASES
from moesize.units import MIB, gib, parse_bytes

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["GpuSpec", "fraction_of", "list_gpus", "load_gpu", "resolve_gpu_id", "served_gpus"]

#: Vendors whose cards serving engines run on by the rules moesize knows; others are sized when they are named.
_SERVED_VENDORS = ("nvidia", "amd")

_SIZE = re.compile(r"\s*[\d_]+(\.\d+)?\s*[kmgt]i?b\s*", re.IGNORECASE)
_MIG = re.compile(
    r"(?P<gpu>.*?)[\s:/_-]*(?:mig[\s:/_.-]*)?(?P<profile>\d+g\.\d+gb)(?:\+[a-z.]+)?(?:-shared)?\s*", re.IGNORECASE
)


def load_gpu(name: str | int) -> GpuSpec:
    """The GPU of a name, a MIG slice of one (`H100:1g.10gb`), or a plain amount of memory (`24GiB`, or bytes).

    Case and punctuation do not matter; device names, Kubernetes labels and cloud names are known.

    Raises:
        InputError: a name several GPUs share, a slice the GPU has not, or an impossible size.
        UnknownNameError: no such GPU; names the nearest.
    """
    if isinstance(name, int):
        return _of_size(name)
    if _SIZE.fullmatch(name):
        return _of_size(parse_bytes(name))
    if match := _MIG.fullmatch(name):
        return _mig_slice(match["gpu"], match["profile"].lower(), name)
    return catalogue.read_gpu(resolve_gpu_id(name))


def is_size_or_slice(name: str) -> bool:
    """Whether a name is an amount of memory or a MIG slice: one GPU, and no word on how many."""
    return bool(_SIZE.fullmatch(name) or _MIG.fullmatch(name))


def resolve_gpu_id(name: str) -> str:
    """The id of the one GPU a name stands for.

    Raises:
        InputError: several GPUs share the name; lists them.
        UnknownNameError: no such GPU; names the nearest.
    """
    ids = catalogue.find(name)
    if len(ids) > 1:
        raise InputError(f"{printable(name)!r} names several GPUs: {', '.join(ids)}; say which")
    return ids[0]


def list_gpus() -> tuple[str, ...]:
    """Every id `load_gpu` knows, one for each memory size a chip is sold with, sorted."""
    return catalogue.all_ids()


def served_gpus() -> list[GpuSpec]:
    """Every NVIDIA and AMD card of the catalogue but boards for the edge: what `all` means on the command line."""
    return [gpu for gpu in map(load_gpu, list_gpus()) if gpu.vendor in _SERVED_VENDORS and gpu.category != "edge"]


def fraction_of(spec: GpuSpec, fraction: "Fraction") -> GpuSpec:
    """The share of a GPU a fractional (vGPU) instance gets; memory, bandwidth and rates in proportion.

    Raises:
        InputError: not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"a share of {fraction} of {spec.name} is not above 0 and at most 1")
    if fraction == 1:
        return spec
    share = float(fraction)
    return replace(
        _scaled(spec, memory=share, compute=share),
        name=f"{spec.name} ({fraction})",
        memory_bytes=int(spec.memory_bytes * fraction),
        memory_low_bytes=int(spec.memory_low_bytes * fraction),
        memory_high_bytes=int(spec.memory_high_bytes * fraction),
        memory_basis="derived",
        notes=(*spec.notes, f"{fraction} of a GPU: memory, bandwidth and rates in proportion"),
    )


def _of_size(n_bytes: int) -> GpuSpec:
    if not 0 < n_bytes < 2**60:
        raise InputError(f"{n_bytes} bytes is no size of a GPU's memory")
    return GpuSpec(
        id=f"{n_bytes}-bytes",
        name=f"{gib(n_bytes):.4g} GiB of memory",
        vendor="any",
        category="given",
        architecture="any",
        compute_capability=None,
        memory_bytes=n_bytes,
        smi_memory_bytes=None,
        nominal_gb=n_bytes / 1e9,
        memory_basis="given",
        memory_low_bytes=n_bytes,
        memory_high_bytes=n_bytes,
        bandwidth_bytes_per_second=None,
        tflops_dense=MappingProxyType({}),
        native_formats=frozenset(),
        host_link=None,
        host_bytes_per_second=None,
        peer_link=None,
        peer_bytes_per_second=None,
        unified=False,
        tdp_watts=None,
        year=None,
        notes=(),
        sources=MappingProxyType({}),
    )


def _mig_slice(gpu: str, profile: str, asked: str) -> GpuSpec:
    if not catalogue.normalise(gpu):
        raise InputError(f"{printable(asked)!r} is a slice of which GPU? Write it like H100:{profile}")
    cards = {gpu_id: catalogue.read_slices(gpu_id) for gpu_id in catalogue.find(gpu)}
    having = {gpu_id: slices[profile] for gpu_id, slices in cards.items() if profile in slices}
    if len({piece.whole("usable_total_mib") for piece in having.values()}) > 1:
        options = ", ".join(f"{gpu_id}:{profile}" for gpu_id in having)
        raise InputError(f"{printable(asked)!r} names several GPUs: {options}; say which")
    if not having:
        known = sorted({known for slices in cards.values() for known in slices})
        which = f"its slices are {', '.join(known)}" if known else "none of its slices are known"
        raise InputError(f"{printable(gpu.strip())!r} has no MIG slice {profile}; {which}")
    # form factors of one card cut alike: the slower one's bounds hold for both
    whole = min(map(catalogue.read_gpu, having), key=lambda spec: (spec.bandwidth_bytes_per_second or 0, spec.id))
    piece = having[whole.id]
    memory = piece.whole("usable_total_mib") * MIB
    return replace(
        _scaled(whole, memory=piece.positive("memory_fraction"), compute=piece.positive("sm_fraction")),
        id=f"{whole.id}:{profile}",
        name=f"{whole.name} MIG {profile}",
        nominal_gb=float(profile.partition(".")[2].removesuffix("gb")),
        memory_bytes=memory,
        memory_basis=piece.one_of("basis", BASES),
        memory_low_bytes=memory,
        memory_high_bytes=memory,
        sources=MappingProxyType({**whole.sources, "memory.usable_total_mib": piece.text("source")}),
        notes=(*whole.notes, *([piece.text("note")] if "note" in piece.values else [])),
        mig_profile=profile,
    )


def _scaled(spec: GpuSpec, *, memory: float, compute: float) -> GpuSpec:
    """`spec` with its share of bandwidth and rates, and without what a slice has not: peers, a total of its own."""
    bandwidth = spec.bandwidth_bytes_per_second
    return replace(
        spec,
        smi_memory_bytes=None,
        bandwidth_bytes_per_second=None if bandwidth is None else bandwidth * memory,
        tflops_dense=MappingProxyType({dtype: peak * compute for dtype, peak in spec.tflops_dense.items()}),
        peer_link=None,
        peer_bytes_per_second=None,
    )
