"""What a quantised matrix is in a checkpoint: the arrays a format stores for one `[out_features, in_features]` matrix.

A format is a small rule; which matrices of a model it is applied to is `moesize.quant.scheme`'s business.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Protocol

from moesize.errors import InputError
from moesize.units import DTYPE_BYTES


class Array(NamedTuple):
    """One stored array; its name is the module's with `suffix` appended."""

    suffix: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * DTYPE_BYTES[self.dtype]


class WeightFormat(Protocol):
    """How one matrix is stored."""

    @property
    def name(self) -> str:
        """As the report shows it."""

    @property
    def bits(self) -> float:
        """Nominal bits of a weight, without scales."""

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """What a checkpoint stores for one matrix."""

    def nbytes(self, out_features: int, in_features: int) -> int:
        """Bytes of `arrays`."""

    def check(self, out_features: int, in_features: int) -> None:
        """Refuse a shape the format cannot store.

        Raises:
            InputError: says what does not divide; without the matrix's name, which the caller knows.
        """


class Layout(ABC):
    """What all formats share."""

    __slots__ = ()

    @abstractmethod
    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """What a checkpoint stores for one matrix."""

    def nbytes(self, out_features: int, in_features: int) -> int:
        """Bytes of `arrays`."""
        return sum(array.nbytes for array in self.arrays(out_features, in_features))

    def check(self, out_features: int, in_features: int) -> None:  # noqa: B027  most formats take any shape
        """Any shape will do."""


@dataclass(frozen=True, slots=True)
class Plain(Layout):
    """Not quantised: one array of `dtype`."""

    dtype: str

    @property
    def name(self) -> str:
        """The dtype."""
        return self.dtype

    @property
    def bits(self) -> float:
        """Bits of the dtype."""
        return 8.0 * DTYPE_BYTES[self.dtype]

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """The matrix itself."""
        return (Array(".weight", (out_features, in_features), self.dtype),)


class UnstorableError(InputError):
    """A matrix a format cannot store; `why` says it without naming the format, for several may share it."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


def refuse_unless_divides(what: str, unit: int, size: int, dimension: str) -> None:
    """Refuse a dimension that `what` cannot cut into whole units.

    Raises:
        UnstorableError: `unit` does not divide `size`.
    """
    if unit <= 0 or size % unit:
        why = f"needs {dimension} that {unit} divides, not {size}"
        raise UnstorableError(f"{what} {why}", why)
