"""Every rule of the gate by its id. Adding one is a module in `findings` and its line here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import cleandoc
from types import ModuleType
from typing import Final

from moesize.gate.case import Case
from moesize.gate.findings import (
    active_parameters,
    ambiguous_gpu,
    concurrency_too_high,
    context_too_long,
    contradicting_lock,
    does_not_load,
    gpu_count,
    gpu_not_allowed,
    headroom,
    ignored_setting,
    invalid_ignore,
    no_kv_cache,
    refused,
    repeated_setting,
    short_context,
    tight,
    too_expensive,
    undecided,
    unreadable_file,
    unreadable_setting,
    unsupported_quantization,
    wasteful,
)
from moesize.gate.findings.base import Finding, Level

_MODULES: Final[tuple[ModuleType, ...]] = (
    does_not_load,
    no_kv_cache,
    context_too_long,
    concurrency_too_high,
    tight,
    gpu_count,
    refused,
    unsupported_quantization,
    ignored_setting,
    repeated_setting,
    unreadable_setting,
    ambiguous_gpu,
    active_parameters,
    wasteful,
    contradicting_lock,
    undecided,
    headroom,
    short_context,
    gpu_not_allowed,
    too_expensive,
    unreadable_file,
    invalid_ignore,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as outputs describe it; `check` is None for rules about files and ignores instead of deployments."""

    id: str
    level: Level
    summary: str
    page: str
    check: Callable[[Case], Iterator[Finding]] | None

    @property
    def name(self) -> str:
        """The id in PascalCase."""
        return "".join(part.capitalize() for part in self.id.split("-"))


def _rule(module: ModuleType) -> Rule:
    page = cleandoc(module.__doc__ or module.ID)
    return Rule(
        module.ID, module.LEVEL, page.partition("\n\n")[0].replace("\n", " "), page, getattr(module, "check", None)
    )


RULES: Final[dict[str, Rule]] = {rule.id: rule for rule in map(_rule, _MODULES)}
