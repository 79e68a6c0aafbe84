"""What a start-up log says: the settings a server ran with, and the figures it printed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from moesize.errors import printable

Outcome = Literal["ok", "kv_too_small", "oom_load", "oom_runtime", "failed"]

#: Figures of which ranks print different ones: the tightest rank counts, which has the least of these …
SMALLEST = frozenset({"kv_gib", "kv_tokens", "concurrency", "blocks", "gpu_total_gib", "free_gib"})
#: … and the most of all others.
_LARGEST_NUMBER = 1e15
_LONGEST_WORD = 300


@dataclass(slots=True)
class Observation:
    """One start of a server.

    Attributes:
        settings: As the server understood them, by the names of vLLM's options (`tensor_parallel_size` is `tp`, …).
        figures: Every value printed of a figure, GiB per GPU or counts, over all ranks.
        lines: The log lines figures were read from, with their numbers.
    """

    engine: str
    version: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)
    outcome: Outcome | None = None
    starts: int = 1
    lines: list[int] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Enter a figure; what no server can have printed is left out."""
        if 0 <= value < _LARGEST_NUMBER:
            self.figures.setdefault(name, []).append(value)

    def set(self, name: str, value: Any) -> None:  # noqa: ANN401  a word, a number or a flag
        """Enter a setting, the last one printed standing."""
        if value is not None:
            self.settings[name] = printable(value, _LONGEST_WORD) if isinstance(value, str) else value

    def figure(self, name: str) -> float | None:
        """The tightest rank's value."""
        values = self.figures.get(name)
        if not values:
            return None
        return min(values) if name in SMALLEST else max(values)

    def printed(self) -> dict[str, float]:
        """Every figure, of the tightest rank."""
        found: Iterable[tuple[str, float | None]] = ((name, self.figure(name)) for name in self.figures)
        return {name: value for name, value in found if value is not None}
