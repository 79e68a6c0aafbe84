"""What a GPU is to the rest of moesize: the memory a process can use, its bandwidth, its peak rates, its links."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from moesize.errors import InputError

MemoryBasis = Literal["measured", "derived", "nominal", "given"]


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
        host_memory_bytes_per_second: bandwidth of the host's own memory; a fact of the machine, so only users know it.
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
    host_memory_bytes_per_second: float | None = None


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
