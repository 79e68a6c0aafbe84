"""Checkpoint folders: a configuration, headers of weight files, and the small files quantisers leave beside them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from moesize.errors import InputError, printable
from moesize.model.configs import parse_json_mapping, read_json_mapping, spec_from_config
from moesize.model.safetensors import Stored, read_file
from moesize.model.spec import ModelSpec
from moesize.model.stored import with_stored

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"

#: An index lists every array by name: some 25 MB for the largest models there are.
MAX_INDEX_BYTES: Final = 64 * 2**20

_PART: Final = re.compile(r"^(.*-)(\d{5})-of-(\d{5})(\.\w+)$")


class MissingPartError(InputError):
    """A file of a set is not there."""


def _modelopt(values: Mapping[str, Any]) -> dict[str, Any]:
    inner = values.get("quantization")
    return {"quant_method": "modelopt", **(inner if isinstance(inner, Mapping) else values)}


def _old_awq(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"quant_method": "awq", "bits": values.get("w_bit"), "group_size": values.get("q_group_size"), **values}


#: Where quantisers wrote what a `quantization_config` says today.
SIDE_FILES: Final[dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "hf_quant_config.json": _modelopt,
    "quantize_config.json": lambda values: {"quant_method": "gptq", **values},
    "quant_config.json": _old_awq,
}


def load_folder(folder: Path, *, family: str | None = None, complete: bool = True) -> ModelSpec:
    """The model of a folder with a config.json and, where they are there, safetensors files; or of one with a .gguf.

    Where the weight files need not be `complete`, those of a part are left unread.

    Raises:
        InputError: no configuration, a weight file that is missing or damaged; names it.
    """
    if not (folder / CONFIG).is_file():
        ggufs = sorted(folder.glob("*.gguf"))
        if ggufs:
            from moesize.model import gguf_files  # noqa: PLC0415  few folders hold one

            return gguf_files.load_only(ggufs)
        raise InputError(f"{folder} has no {CONFIG}{_what_it_is(folder)}")
    config = read_json_mapping(folder / CONFIG)
    for name, reading in SIDE_FILES.items():
        if not config.get("quantization_config") and (folder / name).is_file():
            config = {**config, "quantization_config": reading(read_json_mapping(folder / name))}
    spec = replace(spec_from_config(config, str(folder), family=family), name=folder.resolve().name)
    try:
        files = weight_files(folder)
    except MissingPartError:
        if complete:
            raise
        files = []
    if not files:
        note = f"no complete set of safetensors files in {folder}: sizes are those of its configuration"
        return replace(spec, notes=(*spec.notes, note))
    return with_stored(spec, _read_all(files), str(folder))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the model: those the index names, or the whole set.

    Raises:
        InputError: a file of the set is missing.
    """
    if (folder / INDEX).is_file():
        data = (folder / INDEX).read_bytes() if (folder / INDEX).stat().st_size <= MAX_INDEX_BYTES else b""
        names = shards_of(data, str(folder / INDEX))
    else:
        names = sorted(path.name for path in folder.glob("*.safetensors"))
        if SINGLE in names:
            names = [SINGLE]
        own = [name for name in names if not name.startswith("consolidated")]
        names = own or names
        for name in names:
            part = _PART.match(name)
            if part and sum(other.startswith(part[1]) for other in names) < int(part[3]):
                raise MissingPartError(f"{folder}: parts of {part[1]}…-of-{part[3]}{part[4]} are missing")
    for name in names:
        if not (folder / name).is_file():
            raise MissingPartError(f"{folder}: {printable(name)} is missing")
    return [folder / name for name in names]


def shards_of(data: bytes, where: str) -> list[str]:
    """The files an index names.

    Raises:
        InputError: too large, or no `weight_map` of plain file names.
    """
    if not data:
        raise InputError(f"{where} is larger than {MAX_INDEX_BYTES >> 20} MiB or empty and cannot be an index")
    weight_map = parse_json_mapping(data, where).get("weight_map")
    files = set(weight_map.values()) if isinstance(weight_map, dict) and _all_texts(weight_map) else set()
    if not files or not all(re.fullmatch(r"[\w.+-]{1,200}\.safetensors", name) for name in files):
        raise InputError(f"{where} has no weight_map from arrays to safetensors files")
    return sorted(files)


def _all_texts(weight_map: Mapping[str, Any]) -> bool:
    return all(isinstance(name, str) for name in weight_map.values())


def _read_all(files: list[Path]) -> list[Stored]:
    return [stored for file in files for stored in read_file(file)]


def _what_it_is(folder: Path) -> str:
    """What a folder without a configuration seems to be."""
    if (folder / "adapter_config.json").is_file():
        return "; it holds a LoRA adapter: name the model it was trained on"
    if (folder / "params.json").is_file():
        return "; it holds an original checkpoint (params.json): name the converted one"
    if (folder / "model_index.json").is_file():
        return "; it holds a diffusion pipeline, which is not sized"
    return ""
