"""The bandwidth of a host's memory, as users know it: a figure in GB/s, or the modules they bought."""

import re
from dataclasses import replace
from math import isfinite

from moesize.errors import InputError, printable
from moesize.hardware.spec import GpuSpec

_FIGURE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:gb/s)?\s*", re.IGNORECASE)
_MODULES = re.compile(r"\s*(\d+)\s*[x×]\s*DDR[345]-(\d+)\s*", re.IGNORECASE)
#: A DDR channel is 64 bits wide: https://www.jedec.org/standards-documents/docs/jesd79-5c01-v131
_CHANNEL_BYTES = 8
_MEGA, _GIGA = 1e6, 1e9


def with_host_memory(gpu: GpuSpec, written: str | float) -> GpuSpec:
    """The GPU in a host whose memory has this bandwidth.

    Raises:
        InputError: not a bandwidth.
    """
    return replace(gpu, host_memory_bytes_per_second=host_memory_bytes_per_second(written))


def host_memory_bytes_per_second(written: str | float) -> float:
    """Bytes per second of `89.6` (GB/s) or `2xDDR5-5600` (channels, megatransfers per second): the theoretical peak.

    Raises:
        InputError: neither of the two, or nothing.
    """
    text = str(written)
    if match := _FIGURE.fullmatch(text):
        rate = float(match[1]) * _GIGA
    elif match := _MODULES.fullmatch(text):
        rate = float(match[1]) * float(match[2]) * _MEGA * _CHANNEL_BYTES
    else:
        raise InputError(
            f"--host-bandwidth {printable(text)!r} is neither GB/s, such as 89.6, nor channels, such as 2xDDR5-5600"
        )
    if not rate or not isfinite(rate):
        raise InputError(f"--host-bandwidth {printable(text)!r} must be above 0")
    return rate
