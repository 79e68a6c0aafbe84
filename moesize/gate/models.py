"""What a model is called: Hub ids as they are, and what paths, URIs, labels and file names hint at."""

import re
from collections.abc import Iterable
from typing import Final

from moesize.gate.document import Position
from moesize.gate.facts import Fact, Source

_HUB_SCHEMES: Final = ("hf://", "huggingface://", "ollama://", "hf:")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_CACHE: Final = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_SPLIT_SUFFIX: Final = re.compile(r"-\d{5}-of-\d{5}$")
_GGUF_QUANT: Final = re.compile(
    r"(?:^|[-._:])((?:UD-)?(?:I?Q\d(?:_(?:K|\d|XXS|XS|S|M|L|XL|NL))*|TQ\d_0|MXFP4|BF16|F16|F32))(?=$|[-._])",
    re.IGNORECASE,
)
#: Folders that stand above models without being an organisation.
_FOLDERS: Final = frozenset(
    (
        "huggingface",
        "hub",
        "models",
        "model",
        "cache",
        "model-cache",
        "mnt",
        "data",
        "mdl",
        "hf",
        "gguf",
        "snapshots",
        "weights",
    )
)
#: Endings of repository names by which quantised checkpoints go, and the scheme's name here.
_NAME_HINTS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(rf"(?:^|[-_./])(?:{pattern})(?=$|[-_.])", re.IGNORECASE), scheme)
    for pattern, scheme in (
        ("awq(?:-int4|-4bit)?", "awq"),
        ("gptq", "gptq"),
        ("nvfp4|fp4", "nvfp4"),
        ("mxfp4", "mxfp4"),
        ("bnb-4bit", "bitsandbytes"),
        ("w4a16|autoround-int4|auto-round|int4", "int4"),
        ("w8a8|int8", "int8"),
        ("fp8(?:-dynamic|-kv|-block)?", "fp8"),
    )
)


def model_name(text: str) -> str:
    """The reference without the Hub's URI scheme and stray quotes: `hf://"org/name"` is `org/name`."""
    name = text.strip().strip("\"'")
    for scheme in _HUB_SCHEMES:
        if name.startswith(scheme):
            return name[len(scheme) :].strip("\"'")
    return name


def is_path(name: str) -> bool:
    """Whether a reference is a place in a file system, volume, bucket or registry instead of a Hub id."""
    return "://" in name or name.startswith(("/", "./", "../", "~")) or name.count("/") > 1 or name.endswith(".gguf")


def candidates(model: Fact[str] | None, hints: Iterable[Fact[str]]) -> tuple[Fact[str], ...]:
    """Names to look a model up under, best first and each once."""
    found: dict[str, Fact[str]] = {}
    if model is not None:
        if not is_path(model.value):
            found[model.value] = model
        else:
            for name in _names_in_path(model.value):
                found.setdefault(name, Fact(name, Source.INFERRED, model.where))
    for hint in hints:
        name = hint.value.replace("--", "/", 1)
        found.setdefault(name, Fact(name, Source.INFERRED, hint.where))
    return tuple(found.values())


def _names_in_path(path: str) -> list[str]:
    if match := _HUB_CACHE.search(path):
        return [f"{match.group(1)}/{match.group(2)}"]
    scheme, _, rest = path.rpartition("://")
    if scheme == "oci":
        last = rest.rpartition("/")[2].partition("@")[0]
        repository, _, tag = last.partition(":")
        return [tag, repository] if tag and tag != "latest" else [repository]
    parts = [part for part in rest.split("/") if part not in ("", ".", "..")]
    if not parts:
        return []
    if parts[-1].endswith(".gguf"):
        stem = _SPLIT_SUFFIX.sub("", parts[-1].removesuffix(".gguf"))
        plain = _GGUF_QUANT.sub("", stem)
        return list(dict.fromkeys((stem, plain)))
    # `/mount/org/name`, `pvc://claim/org/name`: what stands before is where the volume is.
    joined = "/".join(parts[-2:])
    is_id = len(parts) > 2 and _HUB_ID.fullmatch(joined) and parts[-2].lower() not in _FOLDERS
    names = [joined] if is_id else []
    return [*names, parts[-1]] if parts[-1].lower() not in _FOLDERS and len(parts) > 1 else names


def quantization_hint(name: str, where: Position | None) -> Fact[str] | None:
    """The quantisation a repository or GGUF file name tells, as INFERRED."""
    last = name.rpartition("/")[2]
    if last.endswith(".gguf") or "gguf" in last.lower():
        match = _GGUF_QUANT.search(_SPLIT_SUFFIX.sub("", last.removesuffix(".gguf")))
        return Fact(match.group(1).upper(), Source.INFERRED, where) if match else None
    for pattern, scheme in _NAME_HINTS:
        if pattern.search(last):
            return Fact(scheme, Source.INFERRED, where)
    return None
