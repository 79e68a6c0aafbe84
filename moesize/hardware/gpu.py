"""What a GPU is to the rest of moesize: the memory a process can use, its bandwidth, its peak rates, its links."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from moesize.errors import InputError, printable
from moesize.hardware import catalogue
from moesize.units import MIB, gib, parse_bytes

MemoryBasis = Literal["measured", "derived", "nominal", "given"]

_SIZE = re.compile(r"\s*[\d_]+(\.\d+)?\s*[kmgt]i?b\s*", re.IGNORECASE)
_MIG = re.compile(
    r"(?P<gpu>.*?)[\s:/_-]*(?:mig[\s:/_.-]*)?(?P<profile>\d+g\.\d+gb)(?:\+[a-z.]+)?(?:-shared)?\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class GpuSpec:
    """One accelerator as a process sees it; None where no source states a figure.

    Attributes:
        memory_bytes: total the runtime reports (`torch.cuda.mem_get_info()[1]`, HIP, Metal's working set), per device.
        smi_memory_bytes: total `nvidia-smi` reports, larger on Linux by what the driver keeps.
        nominal_gb: the gigabytes of the data sheet.
        memory_basis: measured, derived by a rule the spec file states, nominal, or given by the user.
        memory_low_bytes: smallest total seen over driver versions; the verdict's own figure where nothing was seen.
        memory_high_bytes: largest total seen over driver versions.
        tflops_dense: dense peak TFLOP/s by format (`bf16`, `fp8`, …); with-sparsity figures are halved.
        native_formats: formats the tensor units compute in.
        host_link: how the device reaches host memory, e.g. `PCIe 4.0 x16`.
        host_bytes_per_second: that link in one direction, after line coding; bounds offloading.
        peer_link: link to the other devices of the node, e.g. `nvlink`.
        peer_bytes_per_second: that link in one direction, per device.
        unified: the device shares its memory with the CPU.
        mig_profile: the slice, when this is one.
        sources: for each figure (`memory.usable_total_mib`, `tdp_w`, …) an address, or how it was derived.
    """

    id: str
    name: str
    vendor: str
    category: str
    architecture: str
    compute_capability: tuple[int, int] | None
    memory_bytes: int
    smi_memory_bytes: int | None
    nominal_gb: float
    memory_basis: MemoryBasis
    memory_low_bytes: int
    memory_high_bytes: int
    bandwidth_bytes_per_second: float | None
    tflops_dense: Mapping[str, float]
    native_formats: frozenset[str]
    host_link: str | None
    host_bytes_per_second: float | None
    peer_link: str | None
    peer_bytes_per_second: float | None
    unified: bool
    tdp_watts: float | None
    year: int | None
    notes: tuple[str, ...]
    sources: Mapping[str, str]
    mig_profile: str | None = None


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
    return _from_file(resolve_gpu_id(name))


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


def fraction_of(spec: GpuSpec, fraction: Fraction) -> GpuSpec:
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


def pcie_bytes_per_second(generation: int, lanes: int) -> float:
    """Bytes per second of a PCIe link in one direction, after line coding and before packet headers.

    8, 16, 32 GT/s with 128b/130b coding for generations 3 to 5, 64 GT/s with 242/256-byte flits for 6
    (https://pcisig.com/specifications).

    Raises:
        InputError: a generation or lane count that does not exist.
    """
    if generation not in (3, 4, 5, 6) or lanes not in (1, 2, 4, 8, 16):
        raise InputError(f"there is no PCIe {generation}.0 x{lanes}")
    coding = 242 / 256 if generation == 6 else 128 / 130
    return (1 << generation) * 1e9 * lanes * coding / 8


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
    files = {gpu_id: catalogue.read_gpu(gpu_id) for gpu_id in catalogue.find(gpu)}
    having = [gpu_id for gpu_id, file in files.items() if profile in file.mig_profiles]
    if len({files[gpu_id].mig(profile).usable_total_mib for gpu_id in having}) > 1:
        options = ", ".join(f"{gpu_id}:{profile}" for gpu_id in having)
        raise InputError(f"{printable(asked)!r} names several GPUs: {options}; say which")
    if not having:
        known = sorted({known for file in files.values() for known in file.mig_profiles})
        which = f"its slices are {', '.join(known)}" if known else "none of its slices are known"
        raise InputError(f"{printable(gpu.strip())!r} has no MIG slice {profile}; {which}")
    # form factors of one card cut alike: the slower one's bounds hold for both
    slowest = min(having, key=lambda gpu_id: (files[gpu_id].bandwidth_gb_per_s or 0, gpu_id))
    whole, piece = _from_file(slowest), files[slowest].mig(profile)
    memory = piece.usable_total_mib * MIB
    return replace(
        _scaled(whole, memory=piece.memory_fraction, compute=piece.sm_fraction),
        id=f"{whole.id}:{profile}",
        name=f"{whole.name} MIG {profile}",
        nominal_gb=float(profile.partition(".")[2].removesuffix("gb")),
        memory_bytes=memory,
        memory_basis=piece.basis,
        memory_low_bytes=memory,
        memory_high_bytes=memory,
        sources=MappingProxyType({**whole.sources, "memory.usable_total_mib": piece.source}),
        notes=(*whole.notes, *([piece.note] if piece.note else [])),
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


def _from_file(gpu_id: str) -> GpuSpec:
    file = catalogue.read_gpu(gpu_id)
    memory = file.memory
    observed = memory.observed_mib or (memory.usable_total_mib,)
    link = file.host_link
    return GpuSpec(
        id=gpu_id,
        name=file.name,
        vendor=file.vendor,
        category=file.category,
        architecture=file.architecture,
        compute_capability=file.compute_capability,
        memory_bytes=memory.usable_total_mib * MIB,
        smi_memory_bytes=None if memory.smi_total_mib is None else memory.smi_total_mib * MIB,
        nominal_gb=memory.nominal_gb,
        memory_basis=memory.basis,
        memory_low_bytes=min(memory.usable_total_mib, *observed) * MIB,
        memory_high_bytes=max(memory.usable_total_mib, *observed) * MIB,
        bandwidth_bytes_per_second=None if file.bandwidth_gb_per_s is None else file.bandwidth_gb_per_s * 1e9,
        tflops_dense=file.tflops_dense,
        native_formats=file.formats,
        host_link=link.name if link else None,
        host_bytes_per_second=_host_rate(link),
        peer_link=file.peer_link.name if file.peer_link else None,
        peer_bytes_per_second=file.peer_link.gb_per_s * 1e9 if file.peer_link and file.peer_link.gb_per_s else None,
        unified=memory.unified,
        tdp_watts=file.tdp_w,
        year=file.year,
        notes=file.notes,
        sources=file.sources,
    )


def _host_rate(link: catalogue.Link | None) -> float | None:
    if link is None:
        return None
    if link.pcie is not None:
        return pcie_bytes_per_second(*link.pcie)
    return None if link.gb_per_s is None else link.gb_per_s * 1e9
