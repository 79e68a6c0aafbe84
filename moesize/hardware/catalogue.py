"""Finding GPUs by any of their names, and reading the one spec file that is asked for.

`gpu_specs/<id>.yaml` holds one GPU. `gpu_specs/index.json` is generated from all of them
(`python -m moesize.hardware.build_index`) so that a name costs one small read; a file the index does not know yet is
found by scanning.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from moesize.data import data_dir, read_yaml
from moesize.errors import InputError, UnknownNameError
from moesize.hardware.spec import GpuSpec
from moesize.hardware.spec_file import SpecMap, parse_gpu, parse_slices

_VENDOR_WORDS = (
    "nvidia",
    "amd",
    "intelr",
    "intel",
    "tesla",
    "geforce",
    "instinct",
    "radeon",
    "quadro",
    "apple",
    "google",
    "aws",
)
_HINT = "`--gpu 24GiB` sizes any amount of memory"


def normalise(name: str) -> str:
    """`name` as it is compared: lower case, letters and digits only."""
    return "".join(c for c in name.lower() if c.isascii() and c.isalnum())


def find(name: str) -> tuple[str, ...]:
    """The ids a name stands for, more than one if GPUs share it.

    Raises:
        UnknownNameError: no GPU has the name; says the nearest.
    """
    key = normalise(name)
    aliases = _index()["aliases"]
    for candidate in _spellings(key):
        if candidate in aliases:
            return _ids(aliases[candidate])
    if key:
        scanned = _scan_unindexed()
        for candidate in _spellings(key):
            if candidate in scanned:
                return _ids(scanned[candidate])
    raise UnknownNameError("GPU", name, [*all_ids(), *_short_names()], hint=_HINT)


def all_ids() -> tuple[str, ...]:
    """Every id, indexed or not, sorted."""
    known: set[str] = set(_index()["ids"])
    return tuple(sorted(known.union(*(_ids(v) for v in _scan_unindexed().values()))))


def memory_bytes(gpu_id: str) -> int:
    """What a process can use of an id's memory, without reading its file; 0 when the index does not know it."""
    return int(_index()["ids"].get(gpu_id, 0))


def knows(name: str) -> bool:
    """Whether the index has `name` as a GPU's."""
    return normalise(name) in _index()["aliases"]


def read_gpu(gpu_id: str) -> GpuSpec:
    """The GPU of an id `find` returned, at the memory size the id names.

    Raises:
        InputError: a wrong or missing key; names file and key.
        UnknownNameError: no such id.
    """
    path = _path(gpu_id)
    return parse_gpu(path, read_yaml(path), gpu_id)


def read_slices(gpu_id: str) -> dict[str, SpecMap]:
    """The MIG slices of an id `find` returned, by profile; empty when none are known.

    Raises:
        InputError: a wrong or missing key; names file and key.
    """
    path = _path(gpu_id)
    return parse_slices(path, read_yaml(path))


def instance_cloud(name: str) -> str | None:
    """The cloud whose file holds an instance of this name; None when no cloud has it."""
    cloud = _index()["instances"].get(normalise(name))
    return str(cloud) if cloud is not None else None


def build_index(folder: Path) -> dict[str, Any]:
    """The content of `index.json` for a folder of specs.

    Raises:
        InputError: two GPUs claim a name neither declares as shared, or a file that cannot be read.
    """
    aliases: dict[str, str | list[str]] = {}
    files: dict[str, str] = {}
    ids: dict[str, int] = {}
    for path in sorted(folder.glob("*.yaml")):
        raw = read_yaml(path)
        for gpu_id in _spec_ids(path, raw):
            ids[gpu_id] = parse_gpu(path, raw, gpu_id).memory_bytes
            parse_slices(path, raw)
            if gpu_id != path.stem:
                files[gpu_id] = path.stem
        _add_names(aliases, path, raw)
    instances: dict[str, str] = {}
    for path in sorted((folder / "instances").glob("*.yaml")):
        for row in read_yaml(path)["instances"]:
            key = normalise(str(row["name"]))
            if key in instances:
                raise InputError(f"{path}: instance {row['name']} is also in {instances[key]}.yaml")
            instances[key] = path.stem
    return {
        "ids": dict(sorted(ids.items())),
        "files": dict(sorted(files.items())),
        "aliases": dict(sorted(aliases.items())),
        "instances": dict(sorted(instances.items())),
    }


def _add_names(aliases: dict[str, str | list[str]], path: Path, raw: Mapping[str, Any]) -> None:
    ids = _spec_ids(path, raw)
    own = {normalise(n) for n in [path.stem, str(raw.get("name", "")), *(raw.get("aliases") or [])]}
    shared = {normalise(n) for n in raw.get("shared_aliases") or []}
    # "nvidia-tesla-v100" is one cloud's name for the 16 GB card, "Tesla V100" nobody's
    own |= {short for name in own if not shared.intersection(_spellings(name)) for short in _spellings(name)}
    for name in sorted(own - shared):
        if name in aliases:
            raise InputError(f"{path}: the name {name} also belongs to {aliases[name]}; make it a shared alias of both")
        aliases[name] = ids[0] if len(ids) == 1 else list(ids)
    for name in sorted(shared):
        before = aliases.get(name, [])
        if isinstance(before, str):
            raise InputError(f"{path}: the shared name {name} also belongs to {before} alone")
        aliases[name] = [*before, *ids]
    if len(ids) > 1:
        for gpu_id in ids:
            for name in _spellings(normalise(gpu_id)):
                aliases[name] = gpu_id


def _spec_ids(path: Path, raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of one file: its own, or one for each memory size its chip is sold with."""
    memory = raw.get("memory")
    options = memory.get("options") if isinstance(memory, dict) else None
    return tuple(str(option["id"]) for option in options) if options else (path.stem,)


def _spellings(key: str) -> list[str]:
    """`key`, then `key` without the vendor and brand words it begins with, and without a time-slicing suffix."""
    found = [key, key.removesuffix("shared")] if key.endswith("shared") else [key]
    for _ in range(2):
        for word in _VENDOR_WORDS:
            short = found[-1].removeprefix(word)
            # "m1" and "l4" are names, "4" is none
            if short != found[-1] and len(short) > 1 and not short.isdigit():
                found.append(short)
                break
    return found


def _ids(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@cache
def _index() -> dict[str, Any]:
    path = data_dir("gpu_specs") / "index.json"
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # without an index everything is found by scanning
        index = {}
    return {
        key: index.get(key, {}) if isinstance(index, dict) else {} for key in ("ids", "files", "aliases", "instances")
    }


def _short_names() -> list[str]:
    """Indexed names as people write them, for "did you mean"."""
    return [gpu_id.partition("-")[2] for gpu_id in _index()["ids"]]


def _path(gpu_id: str) -> Path:
    path = data_dir("gpu_specs") / f"{_index()['files'].get(gpu_id, gpu_id)}.yaml"
    if path.is_file():
        return path
    for other in _unindexed_files():
        if gpu_id in _spec_ids(other, read_yaml(other)):
            return other
    raise UnknownNameError("GPU", gpu_id, all_ids(), hint=_HINT)


def _unindexed_files() -> list[Path]:
    known = {*_index()["ids"], *_index()["files"].values()}
    return [path for path in sorted(data_dir("gpu_specs").glob("*.yaml")) if path.stem not in known]


@cache
def _scan_unindexed() -> dict[str, str | list[str]]:
    aliases: dict[str, str | list[str]] = {}
    for path in _unindexed_files():
        _add_names(aliases, path, read_yaml(path))
    return aliases
