"""GGUF files on disk as one model: one file, the parts of a set, or the only model of a folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from moesize.errors import InputError, printable
from moesize.model.gguf import GgufHeader, read_file
from moesize.model.gguf_model import model_of
from moesize.model.spec import ModelSpec

_PART: Final = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)


def load(path: Path) -> ModelSpec:
    """The model of a file, or of the split set it is part of.

    Raises:
        InputError: unreadable, cut off, no GGUF file, or a part of the set is missing.
    """
    paths = split_set(path)
    headers = [read_file(part) for part in paths]
    tensors = [tensor for header in headers for tensor in header.tensors]
    expected = headers[0].metadata.get("split.tensors.count")
    if len(paths) > 1 and isinstance(expected, int) and expected != len(tensors):
        raise InputError(f"{paths[0]}: its parts hold {len(tensors)} tensors, the set should hold {expected}")
    return model_of(GgufHeader(headers[0].metadata, headers[0].lengths, tensors), str(path), paths[0].stem)


def load_only(paths: Sequence[Path]) -> ModelSpec:
    """The one model these files hold; projectors for images or sound (`mmproj-…`) beside it are left out.

    Raises:
        InputError: they hold several; names them.
    """
    models = [path for path in paths if "mmproj" not in path.name.lower()]
    sets = {split_set(path)[0] for path in models}
    if len(sets) != 1:
        shown = ", ".join(printable(path.name) for path in sorted(sets)[:6]) or "none"
        raise InputError(f"{paths[0].parent} holds several models ({shown}); name one of the files")
    return load(sets.pop())


def split_set(path: Path) -> list[Path]:
    """All parts of the set `path` belongs to, in order; `path` alone when it is no part.

    Raises:
        InputError: a part is missing.
    """
    match = _PART.match(path.name)
    if not match:
        return [path]
    count = int(match["count"])
    parts = [path.with_name(f"{match['stem']}-{i:05}-of-{count:05}.gguf") for i in range(1, count + 1)]
    missing = next((part for part in parts if not part.is_file()), None)
    if missing or not parts:
        raise InputError(f"{missing or path} is missing: {path.name} is one of {count} parts")
    return parts
