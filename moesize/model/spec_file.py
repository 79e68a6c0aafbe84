"""Spec files: one YAML per model with its names, the architecture keys of its configuration and its published figures.

```yaml
name: mixtral-8x7b                  # the file's name
title: Mixtral 8x7B
aliases: [mixtral]                  # further names people type
hub_ids: [mistralai/Mixtral-8x7B-v0.1]
base: other-spec                    # optional: its `config`, over which this one's keys are laid (null deletes)
config_source: https://…            # where the keys were read
as_of: 2026-11-21
revision: 40-digit commit           # optional
family: llama                       # optional: read as this family although model_type says otherwise
config: {model_type: mixtral, …}
published: [{what: total, value: 46.7B, source: https://…}]
notes: [a sentence the report repeats]
```

A model of which only counts are published has `counts` in place of `config`, one that discloses nothing `undisclosed`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from moesize.data import read_yaml
from moesize.errors import InputError, printable
from moesize.model.configs import spec_from_config
from moesize.model.fields import Fields
from moesize.model.figures import read_figures
from moesize.model.spec import ModelSpec

_BODIES: Final = ("config", "counts", "undisclosed")
_REQUIRED: Final = ("name", "title", "config_source", "as_of")
_OPTIONAL: Final = ("aliases", "hub_ids", "base", "revision", "family", "published", "notes")
_KEYS: Final = frozenset((*_BODIES, *_REQUIRED, *_OPTIONAL))

_MAX_BASES: Final = 4
#: Characters of a name; no file system takes much more.
_LONGEST_NAME: Final = 200


def load_spec_file(path: Path) -> ModelSpec:
    """The model of one spec file.

    Raises:
        InputError: unreadable, a key that is unknown, missing or cannot be right; names the file and the key.
        NotSizeableError: a system that discloses nothing.
    """
    document = read_document(path)
    fields = Fields(document, path.name)
    name = fields.text("name")
    notes = fields.texts("notes", default=())
    if "config" in document or "base" in document:
        config = merged_config(document, path)
        family = fields.text("family") if "family" in document else None
        spec = spec_from_config(config, path.name, family=family)
    else:
        from moesize.model.published import counts_spec  # noqa: PLC0415  few models disclose only counts

        spec = counts_spec(fields)
    return replace(
        spec,
        name=name,
        source=f"{path.name} ({fields.text('config_source')})",
        published=read_figures(document.get("published", []), path.name),
        notes=(*spec.notes, *notes),
        hub_ids=fields.texts("hub_ids", default=()),
    )


def read_document(path: Path) -> dict[str, Any]:
    """The mapping of a spec file, its top-level keys checked.

    Raises:
        InputError: a key that is unknown or missing, or a name that is not the file's.
    """
    document = read_yaml(path)
    unknown = sorted(str(key) for key in document if key not in _KEYS)
    if unknown:
        raise InputError(f"{path}: unknown key {printable(unknown[0])!r}; known are {', '.join(sorted(_KEYS))}")
    missing = [key for key in _REQUIRED if document.get(key) is None]
    if missing:
        raise InputError(f"{path}: {missing[0]} is missing")
    if "base" not in document and sum(key in document for key in _BODIES) != 1:
        raise InputError(f"{path}: exactly one of {', '.join(_BODIES)} is needed")
    return document


def merged_config(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The architecture keys of a spec file, laid over those of its `base`.

    Raises:
        InputError: a base that is missing or leads in a circle, or a `config` that is no mapping.
    """
    own = document.get("config", {})
    if not isinstance(own, Mapping):
        raise InputError(f"{path}: config is {printable(repr(own), 60)}, expected a mapping")
    layers: list[Mapping[str, Any]] = [own]
    place = path
    while "base" in document:
        base = document["base"]
        beside = place.parent / f"{base}.yaml"
        named = isinstance(base, str) and len(base) <= _LONGEST_NAME and beside.parent == place.parent
        if not named or not beside.is_file():
            raise InputError(f"{path}: base {printable(str(base))!r} is no spec beside it")
        place = beside
        if len(layers) > _MAX_BASES:
            raise InputError(f"{path}: its chain of bases is longer than {_MAX_BASES} or leads in a circle")
        document = read_document(place)
        below = document.get("config", {})
        if not isinstance(below, Mapping):
            raise InputError(f"{place}: config is {printable(repr(below), 60)}, expected a mapping")
        layers.append(below)
    config: dict[str, Any] = {}
    for layer in reversed(layers):
        config |= layer
    return config  # nulls stay: to some classes a null window is no window, a missing one their default
