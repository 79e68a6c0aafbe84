"""CUDA and ROCm through `torch.cuda`, and nvidia-ml-py where it is installed. Thin: nothing is decided here.

No line of this module has run on a GPU yet: its calls are held against the signatures of `torch.cuda` in the tests.
"""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from moesize.errors import InputError
from moesize.probe.cpu import torch_dtype
from moesize.probe.device import DeviceFacts, Peak, Reading

#: The byte counts of `torch.cuda.memory_stats` that are read.
REQUESTED = "requested_bytes.all.current"


class Cuda:
    """One visible device.

    Raises:
        InputError: no CUDA or ROCm, an index that is not there, or a driver torch cannot use.
    """

    def __init__(self, index: int) -> None:
        require(index)
        self.index = index
        before = _nvml(index)
        try:
            torch.cuda.set_device(index)
            torch.cuda.init()  # type: ignore[no-untyped-call]
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:
            raise InputError(f"the driver refuses device {index}: {_first_line(error)}") from None
        self.facts = _facts(index, free, total, before, _nvml(index))

    def empty(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        """An uninitialised tensor; CUDA maps memory at once."""
        return torch.empty(shape, dtype=torch_dtype(dtype), device=f"cuda:{self.index}")

    def random(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        """A tensor of small normal numbers."""
        return self.empty(shape, dtype).normal_(std=0.02)

    def free_bytes(self) -> int:
        """By the driver; blocks the allocator keeps are not counted."""
        return torch.cuda.mem_get_info(self.index)[0]

    def reading(self) -> Reading:
        """The allocator's counters and what the driver has given away on the whole card."""
        torch.cuda.synchronize(self.index)
        free, total = torch.cuda.mem_get_info(self.index)
        stats = torch.cuda.memory_stats(self.index)
        allocated = torch.cuda.memory_allocated(self.index)
        reserved = torch.cuda.memory_reserved(self.index)
        return Reading(int(stats.get(REQUESTED, allocated)), allocated, reserved, total - free)

    @contextmanager
    def watch(self) -> Iterator[Peak]:
        """The allocator's own peak."""
        peak = Peak()
        torch.cuda.synchronize(self.index)
        torch.cuda.reset_peak_memory_stats(self.index)
        start = torch.cuda.memory_allocated(self.index)
        yield peak
        torch.cuda.synchronize(self.index)
        peak.n_bytes = torch.cuda.max_memory_allocated(self.index) - start

    def out_of_memory(self, error: BaseException) -> bool:
        """Torch raises a class of its own."""
        return isinstance(error, torch.cuda.OutOfMemoryError)

    def release(self) -> None:
        """Collect, and give cached blocks back to the driver."""
        gc.collect()
        torch.cuda.empty_cache()


def require(index: int) -> None:
    """Refuse when there is no such device.

    Raises:
        InputError: says what is missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of an old driver, and _why_not says it
        available = torch.cuda.is_available()
    if not available:
        raise InputError(
            f"torch {torch.__version__} {_why_not()}; --device cpu runs the same steps in host memory, --dry-run plans"
            " them"
        )
    count = torch.cuda.device_count()
    if not 0 <= index < count:
        shown = "device 0" if count == 1 else f"devices 0 to {count - 1}"
        raise InputError(f"there is no device {index}; this machine shows {shown} (CUDA_VISIBLE_DEVICES decides which)")


def _why_not() -> str:
    """Why there is no device: a build without CUDA, a driver torch cannot use, or none to be seen."""
    if torch.version.cuda is None and torch.version.hip is None:
        return "is built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        return f"cannot use the driver: {_first_line(error)}"
    return "finds no device"


def device_count() -> int:
    """Visible devices; 0 without CUDA or ROCm."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _facts(index: int, free: int, total: int, before: dict[str, Any], after: dict[str, Any]) -> DeviceFacts:
    properties = torch.cuda.get_device_properties(index)
    rocm = torch.version.hip is not None
    context = after["used"] - before["used"] if "used" in before and "used" in after else None
    notes = () if after else ("nvidia-ml-py is not installed: context and other processes are not told apart",)
    return DeviceFacts(
        kind="cuda",
        index=index,
        name=properties.name,
        vendor="amd" if rocm else "nvidia",
        total_bytes=total,
        free_bytes=free,
        driver=after.get("driver"),
        runtime=f"ROCm {torch.version.hip}" if rocm else f"CUDA {torch.version.cuda}",
        torch=str(torch.__version__),
        compute_capability=None if rocm else f"{properties.major}.{properties.minor}",
        smi_total_bytes=after.get("total"),
        others_bytes=before.get("used"),
        context_bytes=context,
        integrated=bool(getattr(properties, "is_integrated", 0)),
        notes=() if rocm else notes,
    )


def _nvml(index: int) -> dict[str, Any]:
    """Driver version, total and used bytes of the card at this moment; empty without nvidia-ml-py."""
    try:
        import pynvml  # noqa: PLC0415  optional
    except ImportError:
        return {}
    try:
        pynvml.nvmlInit()
        try:
            handle = _nvml_handle(pynvml, index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            version = pynvml.nvmlSystemGetDriverVersion()
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return {}
    driver = version.decode() if isinstance(version, bytes) else str(version)
    return {"driver": driver, "total": int(memory.total), "used": int(memory.used)}


def _nvml_handle(pynvml: Any, index: int) -> Any:  # noqa: ANN401  a module without types
    """By UUID: CUDA_VISIBLE_DEVICES renumbers torch's devices and not NVML's."""
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    if uuid is None:
        return pynvml.nvmlDeviceGetHandleByIndex(index)
    return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
