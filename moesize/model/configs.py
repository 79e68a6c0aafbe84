"""From the keys of a configuration to a spec: the family's reading, and what stands beside the architecture."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from moesize.errors import InputError, printable
from moesize.model.architectures import build
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

#: Real configurations reach some 200 kB (lists of unquantised modules); more is not a configuration.
MAX_CONFIG_BYTES = 5 * 2**20

_QUANTISATION_KEYS = ("quantization_config", "compression_config")


def spec_from_config(values: Mapping[str, Any], where: str, *, family: str | None = None) -> ModelSpec:
    """The spec of one configuration, read by its `model_type` or as `family`, which the notes then say.

    Raises:
        UnknownNameError: a model_type no family reads.
        InputError: a key that is missing or cannot be right, or keys that contradict each other.
    """
    try:
        spec = build(Fields(values, where), family=family)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # families name every key they can; what is left are combinations no released model has
        kind = printable(str(family or values.get("model_type")))
        raise InputError(f"{where}: its keys contradict each other for {kind}: {printable(str(error))}") from None
    impossible = next((t for t in spec.tensors if any(side <= 0 for side in t.shape)), None)
    if impossible:
        raise InputError(
            f"{where}: its keys contradict each other: {printable(impossible.name)} would be {list(impossible.shape)}"
        )
    notes = spec.notes
    own = values.get("model_type")
    if family and family != own:
        said = f"its own model_type {printable(str(own))!r} is not known" if own else "it names no model_type"
        notes = (f"read as {family} because you asked for it: {said}", *notes)
    return replace(spec, source=where, notes=notes, quantization_config=quantization_of(values, where))


def quantization_of(values: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    """The checkpoint's own quantisation, which some configurations keep beside the language model's keys.

    Raises:
        InputError: it is no mapping.
    """
    nested = (values.get(key) for key in ("text_config", "llm_config", "language_config"))
    for place in (values, *(n for n in nested if isinstance(n, Mapping))):
        for key in _QUANTISATION_KEYS:
            found = place.get(key)
            if isinstance(found, Mapping):
                # DeepSeek-V4 says beside its quantisation what the experts are stored in.
                beside = {key: place[key] for key in ("expert_dtype",) if key in place}
                return {**found, **beside} or None
            if found is not None:
                raise InputError(f"{where}: {key} is {printable(repr(found), 60)}, expected a mapping")
    return None


def read_json_mapping(path: Path) -> dict[str, Any]:
    """A JSON object from a file of at most `MAX_CONFIG_BYTES`.

    Raises:
        InputError: unreadable, too large, or no JSON object.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise InputError(f"{path} is larger than {MAX_CONFIG_BYTES >> 20} MiB and cannot be a model's configuration")
    return parse_json_mapping(data, str(path))


def parse_json_mapping(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object; a key written twice in one object is an error, since readers disagree about which of them counts.

    Raises:
        InputError: not UTF-8, not JSON, nested beyond reason, a repeated key, or no object at the top.
    """
    import json  # noqa: PLC0415  the catalogue's YAML does not need it

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise InputError(f"{where}: {printable(twice)!r} stands twice in one object")
        return found

    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except UnicodeDecodeError:
        raise InputError(f"{where} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where} line {error.lineno} is not valid JSON: {printable(error.msg)}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON: {printable(str(error), 80)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} holds no JSON object at its top level")
    return value
