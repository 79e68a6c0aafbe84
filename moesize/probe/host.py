"""Host memory as the operating system tells it; no torch."""

import os
import platform
import sys
from pathlib import Path

from moesize.errors import InputError
from moesize.probe.device import DeviceFacts
from moesize.units import KIB

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def host_facts() -> DeviceFacts:
    """The machine's memory as a device."""
    return DeviceFacts(
        kind="cpu",
        index=0,
        name=f"host memory ({platform.machine()})",
        vendor="cpu",
        total_bytes=_meminfo("MemTotal") or _physical(),
        free_bytes=available_bytes(),
        notes=("host memory stands in for a card: everything but CUDA's own counters is measured",),
    )


def available_bytes() -> int:
    """What the system says is available without swapping."""
    return _meminfo("MemAvailable") or _physical()


def resident_bytes() -> int:
    """The resident set of this process; its peak where the system does not tell the present."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    import resource  # noqa: PLC0415  not there on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else KIB)


def _meminfo(key: str) -> int:
    path = Path("/proc/meminfo")
    if not path.exists():
        return 0
    lines = path.read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith(f"{key}:")), 0)


def _physical() -> int:
    if not hasattr(os, "sysconf"):
        raise InputError("this system does not tell how much memory it has; --device cpu needs Linux or macOS")
    return int(os.sysconf("SC_PHYS_PAGES")) * _PAGE_BYTES
