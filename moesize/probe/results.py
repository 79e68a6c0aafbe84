"""What a probe is answered with (schema `moesize.probe/1`): one row per term, and how the run ended."""

from dataclasses import dataclass, field
from typing import Final, Literal

from moesize.probe.device import DeviceFacts
from moesize.results import TermOut, Verdict

SCHEMA: Final = "moesize.probe/1"
Outcome = Literal["completed", "planned", "stopped at the reserve", "allocation failed", "interrupted"]


@dataclass(slots=True, eq=False)
class Row:
    """One term: what the shapes predict, what was measured, both for the whole rank.

    `allocated_bytes` is what the measurement itself allocated when the rest is extrapolated; a predicted interval is
    one the engine's rules give. None where nothing was measured, or nothing is predicted.
    """

    term: str
    category: Literal["weights", "kv_cache", "activation", "runtime"]
    predicted_bytes: int | None
    measured_bytes: int | None = None
    allocated_bytes: int | None = None
    predicted_low_bytes: int | None = None
    predicted_high_bytes: int | None = None
    note: str = ""

    @property
    def difference_bytes(self) -> int | None:
        """Measured minus predicted."""
        if self.predicted_bytes is None or self.measured_bytes is None:
            return None
        return self.measured_bytes - self.predicted_bytes


@dataclass(slots=True, eq=False)
class Failure:
    """Where a run stopped: the term, the tensor, how large it was, and what the allocator or the driver said."""

    term: str
    tensor: str
    n_bytes: int
    message: str


@dataclass(slots=True, eq=False)
class Catalogued:
    """The catalogue's card of the device's name, and how far its total is from the driver's."""

    id: str
    name: str
    memory_bytes: int
    difference_bytes: int


@dataclass(slots=True, eq=False)
class Asked:
    """What was probed."""

    model: str
    source: str
    quant: str
    engine: str
    engine_version: str
    tp: int
    rank: int
    context: int
    context_source: Literal["given", "default"]
    concurrency: int
    kv_dtype: str
    max_num_batched_tokens: int
    max_num_seqs: int
    layers: int
    measured_layers: int
    layer_kinds: int


@dataclass(slots=True, eq=False)
class Comparison:
    """The verdict that was predicted, and what the measured bytes say; None when the run did not get that far."""

    budget_bytes: int
    predicted_total_bytes: int
    predicted: Verdict
    measured_total_bytes: int | None = None
    measured: Verdict | None = None


@dataclass(slots=True, eq=False)
class ProbeResult:
    """The whole answer."""

    schema: str
    device: DeviceFacts
    catalogue: Catalogued | None
    asked: Asked
    rows: list[Row]
    outcome: Outcome
    comparison: Comparison
    failure: Failure | None = None
    high_water_bytes: int = 0
    left_over_bytes: int = 0
    notes: list[str] = field(default_factory=list)
    #: What the engine's rules predict, and from what.
    terms: list[TermOut] = field(default_factory=list)
