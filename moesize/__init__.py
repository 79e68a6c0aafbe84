"""moesize: will this model, served this way, fit on this hardware, and what would?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moesize.api import check
    from moesize.engines.base import EngineOptions
    from moesize.errors import MoesizeError
    from moesize.hardware.gpu import load_gpu
    from moesize.model.loader import load_model
    from moesize.report_model import CheckReport
    from moesize.smallest import SmallestGpus, smallest_gpus

__version__ = "0.1.0"

__all__ = [
    "CheckReport",
    "EngineOptions",
    "MoesizeError",
    "SmallestGpus",
    "__version__",
    "check",
    "load_gpu",
    "load_model",
    "smallest_gpus",
]

_HOMES = {
    "CheckReport": "moesize.report_model",
    "EngineOptions": "moesize.engines.base",
    "MoesizeError": "moesize.errors",
    "SmallestGpus": "moesize.smallest",
    "check": "moesize.api",
    "load_gpu": "moesize.hardware.gpu",
    "load_model": "moesize.model.loader",
    "smallest_gpus": "moesize.smallest",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  PEP 562: each public name is imported when it is first used
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
