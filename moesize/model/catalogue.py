"""The catalogue: which spec file a name means, and what stands in all of them at a glance.

`model_specs/index.json` is generated from the spec files (`python -m moesize.model.build_index`), so that one question
parses one YAML however many there are. Files the index does not know, or knows in another size, are read as they are.
"""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from moesize.data import data_dir
from moesize.errors import InputError, MoesizeError
from moesize.model.names import Match, canonical, has_word, resolve, same
from moesize.model.spec import ModelSpec
from moesize.model.spec_file import load_spec_file, read_document

_INDEX_NAME = "index.json"


def load(name: str) -> ModelSpec:
    """The model `name` means; its `quant_hint` is the quantisation the name asked for.

    Raises:
        UnknownNameError: no model is called like it.
        InputError: several are, or the spec file is wrong.
        NotSizeableError: a system that discloses nothing.
    """
    return load_match(find(name))


def load_match(match: Match) -> ModelSpec:
    """The model of a spec, with the quantisation the name asked for as its `quant_hint`.

    Raises:
        InputError: the spec file is wrong.
        NotSizeableError: a system that discloses nothing.
    """
    spec = load_spec_file(spec_path(match.name))
    if match.quant_hint is None:
        return spec
    from dataclasses import replace  # noqa: PLC0415

    return replace(spec, quant_hint=match.quant_hint)


def find(name: str) -> Match:
    """The spec `name` means.

    Raises:
        UnknownNameError: no model is called like it.
        InputError: several are; lists them.
    """
    known = _looked_up(canonical(name))
    if known and spec_path(known).is_file():
        return Match(known)
    return resolve(name, _current_names())


def same_name(name: str) -> Match | None:
    """The spec called like `name` but for owner and endings (`…-Instruct`, `…-AWQ`); None when there is none."""
    return same(name, _current_names())


def knows(name: str) -> bool:
    """Whether `name` is, letter for letter but for case and punctuation, a name of the catalogue."""
    return bool(_looked_up(canonical(name))) or canonical(name) in _current_names()


def spec_path(name: str) -> Path:
    """Where the spec of that name lies."""
    return data_dir("model_specs") / f"{name}.yaml"


def all_names() -> tuple[str, ...]:
    """The names of all specs, sorted."""
    return tuple(sorted(path.stem for path in data_dir("model_specs").glob("*.yaml")))


def models() -> dict[str, dict[str, Any]]:
    """By name, what a list of the models shows: `title`, `family`, `total`, `active`, `routed`, `per_token`, and so on.

    From the index alone; files it does not know are not in it.
    """
    entries: dict[str, dict[str, Any]] = _index()["models"]
    return entries


def search(text: str) -> dict[str, dict[str, Any]]:
    """The `models()` with every word of `text` in a name, an id, the title or the family, as `has_word` finds it."""
    words = [word for word in map(canonical, text.split()) if word]
    called: dict[str, list[str]] = {}
    for key, name in _index()["names"].items():
        called.setdefault(name, []).append(key)
    found: dict[str, dict[str, Any]] = {}
    for name, entry in models().items():
        keys = [*called.get(name, ()), canonical(entry["title"]), canonical(entry["family"])]
        if words and all(any(has_word(key, word) for key in keys) for word in words):
            found[name] = entry
    return found


class Names(NamedTuple):
    """Canonical names a spec file claims; `short`, its Hub ids without their owner, only where no other file does."""

    own: tuple[str, ...]
    short: tuple[str, ...]


def names_of(document: Mapping[str, Any], path: Path) -> Names:
    """The names of a spec file: its own, its aliases, its Hub ids.

    Raises:
        InputError: aliases or hub_ids that are no lists of strings.
    """
    lists = [[str(document["name"])]]
    for key in ("aliases", "hub_ids"):
        more = document.get(key) or []
        if not isinstance(more, list) or not all(isinstance(one, str) for one in more):
            raise InputError(f"{path}: {key} is no list of names")
        lists.append(more)
    own = tuple(dict.fromkeys(canonical(name) for names in lists for name in names))
    short = dict.fromkeys(canonical(hub_id.rpartition("/")[2]) for hub_id in lists[2])
    return Names(own, tuple(name for name in short if name not in own))


def claimed(names: Mapping[str, Names]) -> tuple[dict[str, str], list[str]]:
    """Canonical name → spec, from the names of all specs; and a sentence for every name two of them claim."""
    known: dict[str, str] = {}
    problems = [
        f"{spec}: the name {name!r} also belongs to {known[name]}"
        for spec, theirs in names.items()
        for name in theirs.own
        if known.setdefault(name, spec) != spec
    ]
    shared = Counter(name for theirs in names.values() for name in theirs.short)
    for spec, theirs in names.items():
        for name in theirs.short:
            if shared[name] == 1:
                known.setdefault(name, spec)
    return known, problems


@cache
def _index_text() -> str:
    try:
        return (data_dir("model_specs") / _INDEX_NAME).read_text(encoding="utf-8")
    except (OSError, ValueError):
        # without an index everything is found by reading the files
        return ""


def _looked_up(key: str) -> str:
    """The spec of one canonical name, found in the index's text: parsing it all costs more than a whole check may.

    The index has one entry a line (`build_index.rendered`), and only names have a text for a value.
    """
    _, found, rest = _index_text().partition(f'\n"{key}": "')
    return rest.partition('"')[0] if found and key else ""


@cache
def _index() -> dict[str, Any]:
    import json  # noqa: PLC0415  a name that is spelled right does not need it

    try:
        index = json.loads(_index_text())
    except ValueError:
        index = {}
    return {key: index.get(key, {}) for key in ("names", "models", "sizes")}


@cache
def _current_names() -> dict[str, str]:
    """The index's names, corrected by the files that are newer than it."""
    index = _index()
    sizes: dict[str, int] = index["sizes"]
    files = {path.stem: path for path in data_dir("model_specs").glob("*.yaml")}
    changed = [path for stem, path in sorted(files.items()) if sizes.get(stem) != path.stat().st_size]
    stale = {path.stem for path in changed} | (sizes.keys() - files.keys())
    names = {key: name for key, name in index["names"].items() if name not in stale}
    newer: dict[str, Names] = {}
    for path in changed:
        try:
            newer[path.stem] = names_of(read_document(path), path)
        except MoesizeError:
            # a spec file that cannot be read hides its own names only
            newer[path.stem] = Names((canonical(path.stem),), ())
    return {**claimed(newer)[0], **names}
