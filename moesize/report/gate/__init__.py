"""The gate's formats by name. Each module has `render(result) -> str`; adding one is a module and its line here."""

from collections.abc import Callable
from importlib import import_module

from moesize.errors import UnknownNameError
from moesize.gate.results import GateResult

FORMATS = {name: f"moesize.report.gate.{name}" for name in ("text", "json", "github", "sarif", "junit", "markdown")}


def renderer(name: str) -> Callable[[GateResult], str]:
    """The function that writes a format.

    Raises:
        UnknownNameError: no such format.
    """
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    found: Callable[[GateResult], str] = import_module(FORMATS[name]).render
    return found
