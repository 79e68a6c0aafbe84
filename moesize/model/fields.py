"""Typed reading of a configuration: every wrong or missing key is named, with the file it stands in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moesize.errors import InputError, printable
from moesize.units import dtype_name

#: No dimension of a real model comes near; larger ones are a corrupt or hostile file.
MAX_DIMENSION = 2**40
MAX_LAYERS = 5_000
MAX_EXPERTS = 1_000_000
_LONGEST_LIST = 100_000

_MISSING: Any = object()


class Fields:
    """The keys of one configuration (or of a nested one), read by name and type."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def has(self, *keys: str) -> bool:
        """Whether any of `keys` is there and not null."""
        return any(self.values.get(key) is not None for key in keys)

    def count(self, *keys: str, default: int | None = _MISSING, minimum: int = 1, maximum: int = MAX_DIMENSION) -> int:
        """A whole number under the first of `keys` that is there.

        Raises:
            InputError: missing without a default, not a whole number, or outside `minimum`…`maximum`.
        """
        key, value = self._first(keys, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise InputError(
                f"{self.where}: {key} is {_shown(value)}, expected a whole number of at least {minimum}"
                + (f" and at most {maximum}" if maximum < MAX_DIMENSION else "")
            )
        return value

    def maybe_count(self, *keys: str, minimum: int = 1) -> int | None:
        """Like `count`, None when no key is there."""
        return self.count(*keys, minimum=minimum) if self.has(*keys) else None

    def layer_count(self, *keys: str, default: int = _MISSING) -> int:
        """A number of layers."""
        return self.count(*keys, default=default, maximum=MAX_LAYERS)

    def expert_count(self, *keys: str, default: int = _MISSING, minimum: int = 1) -> int:
        """A number of experts."""
        return self.count(*keys, default=default, minimum=minimum, maximum=MAX_EXPERTS)

    def number(self, *keys: str, default: float = _MISSING) -> float:
        """A finite number under the first of `keys` that is there."""
        key, value = self._first(keys, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not -1e18 < value < 1e18:
            raise InputError(f"{self.where}: {key} is {_shown(value)}, expected a number")
        return float(value)

    def flag(self, *keys: str, default: bool) -> bool:
        """A boolean; `default` is the family's own."""
        key, value = self._first(keys, default)
        if not isinstance(value, bool | int) or value not in (0, 1):
            raise InputError(f"{self.where}: {key} is {_shown(value)}, expected true or false")
        return bool(value)

    def text(self, *keys: str, default: str = _MISSING) -> str:
        """A string under the first of `keys` that is there."""
        key, value = self._first(keys, default)
        if not isinstance(value, str):
            raise InputError(f"{self.where}: {key} is {_shown(value)}, expected a string")
        return value

    def dtype(self, *keys: str, default: str) -> str:
        """A dtype by the one name it has here; without `keys` that of the weights: `torch_dtype` or `dtype`.

        Raises:
            InputError: no dtype that is known.
        """
        keys = keys or ("torch_dtype", "dtype")
        name = self.text(*keys, default=default)
        try:
            return dtype_name(name)
        except InputError as error:
            raise InputError(f"{self.where}: {self._first(keys, default)[0]}: {error}") from None

    def counts(
        self, *keys: str, default: Sequence[int] = _MISSING, minimum: int = 0, length: int | None = None
    ) -> tuple[int, ...]:
        """A list of whole numbers, of exactly `length` where that is given."""
        key, value = self._first(keys, default)
        if length is not None and _is_list(value) and len(value) != length:
            raise InputError(f"{self.where}: {key} is {_shown(value)}, expected {length} whole numbers")
        if not _is_list(value) or len(value) > _LONGEST_LIST:
            raise InputError(f"{self.where}: {key} is {_shown(value)}, expected a list of whole numbers")
        one = Fields({str(i): v for i, v in enumerate(value)}, f"{self.where}: {key}")
        return tuple(one.count(str(i), minimum=minimum) for i in range(len(value)))

    def texts(self, *keys: str, default: Sequence[str] = _MISSING) -> tuple[str, ...]:
        """A list of strings."""
        key, value = self._first(keys, default)
        if not _is_list(value) or len(value) > _LONGEST_LIST or not all(isinstance(v, str) for v in value):
            raise InputError(f"{self.where}: {key} is {_shown(value)}, expected a list of strings")
        return tuple(value)

    def layer_types(self, num_layers: int, default: Iterable[str], key: str = "layer_types") -> tuple[str, ...]:
        """One word per layer.

        Raises:
            InputError: a list whose length is not `num_layers`.
        """
        types = self.texts(key, default=tuple(default))
        if len(types) != num_layers:
            raise InputError(f"{self.where}: {key} names {len(types)} layers, but the model has {num_layers}")
        return types

    def sub(self, *keys: str) -> "Fields":
        """A nested configuration.

        Raises:
            InputError: missing, or not a mapping.
        """
        key, value = self._first(keys, _MISSING)
        if not isinstance(value, Mapping):
            raise InputError(f"{self.where}: {key} is {_shown(value)}, expected a mapping")
        return Fields(value, f"{self.where}: {key}")

    def maybe_sub(self, *keys: str) -> "Fields | None":
        """Like `sub`, None when no key is there."""
        return self.sub(*keys) if self.has(*keys) else None

    def _first(self, keys: tuple[str, ...], default: object) -> tuple[str, Any]:
        for key in keys:
            value = self.values.get(key)
            if value is not None:
                return key, value
        if default is _MISSING:
            raise InputError(f"{self.where}: {' or '.join(keys)} is missing")
        return keys[0], default


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _shown(value: object) -> str:
    return printable(repr(value), 60)
