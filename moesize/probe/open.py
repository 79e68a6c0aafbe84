"""Opening a device by name, with a sentence for each thing that can be missing."""

from moesize.errors import InputError
from moesize.probe.device import Device, DeviceFacts


def open_device(kind: str, index: int) -> Device:
    """The device of a kind.

    Raises:
        InputError: torch is not installed, no CUDA or ROCm device, or a wrong index.
    """
    _require_torch()
    if kind == "cpu":
        from moesize.probe.cpu import Cpu  # noqa: PLC0415  imports torch

        return Cpu()
    from moesize.probe.cuda import Cuda  # noqa: PLC0415  imports torch

    return Cuda(index)


def visible_devices() -> list[DeviceFacts]:
    """The facts of every CUDA or ROCm device this process sees.

    Raises:
        InputError: torch is not installed, or there is no device.
    """
    _require_torch()
    from moesize.probe.cuda import Cuda, device_count, require  # noqa: PLC0415  imports torch

    require(0)
    return [Cuda(index).facts for index in range(device_count())]


def _require_torch() -> None:
    try:
        import torch  # noqa: F401, PLC0415  the only optional dependency
    except ImportError:
        raise InputError(
            'the probe needs torch: pip install "moesize[probe]"; without it, --dry-run shows the plan and'
            " `moesize observe LOG` reads measurements off a server's log"
        ) from None
