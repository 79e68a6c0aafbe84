"""What the probe asks of a device. `cpu` and `cuda` answer; nothing else of the probe knows which one it is."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Reading(NamedTuple):
    """Bytes at one moment.

    Attributes:
        requested: What tensors asked for.
        allocated: The same after the allocator's rounding.
        reserved: What the allocator holds, free blocks among them.
        used: What the driver (CPU: the operating system) counts for the process, or for the card when it tells no more.
    """

    requested: int
    allocated: int
    reserved: int
    used: int


@dataclass(slots=True)
class Peak:
    """Filled when a watch ends: the most that torch had allocated above where the watch began."""

    n_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device as its driver describes it; None where nobody says.

    Attributes:
        total_bytes: What the driver reports to a process (`cudaMemGetInfo`; CPU: memory of the machine).
        free_bytes: Of that, when the probe began.
        smi_total_bytes: What `nvidia-smi` reports, larger by what the driver keeps.
        others_bytes: What other processes use.
        context_bytes: What creating the process's context took.
    """

    kind: str
    index: int
    name: str
    vendor: str
    total_bytes: int
    free_bytes: int
    driver: str | None = None
    runtime: str | None = None
    torch: str | None = None
    compute_capability: str | None = None
    smi_total_bytes: int | None = None
    others_bytes: int | None = None
    context_bytes: int | None = None
    integrated: bool = False
    notes: tuple[str, ...] = field(default=())


class Device(Protocol):
    """Somewhere tensors live."""

    facts: DeviceFacts

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:  # noqa: ANN401  a torch.Tensor, which this module does not know
        """An uninitialised tensor whose memory is really there."""

    def random(self, shape: tuple[int, ...], dtype: str) -> Any:  # noqa: ANN401
        """A tensor of small normal numbers."""

    def free_bytes(self) -> int:
        """What can still be allocated, by the driver."""

    def reading(self) -> Reading:
        """The counters now."""

    def watch(self) -> AbstractContextManager[Peak]:
        """Records the peak of what torch allocates inside."""

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that an allocation failed."""

    def release(self) -> None:
        """Give back what no tensor holds any more."""


def chunks(total: int, size: int) -> Iterator[tuple[int, int]]:
    """`(start, stop)` over `total` in steps of `size`."""
    for start in range(0, total, size):
        yield start, min(start + size, total)
