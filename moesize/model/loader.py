"""One entry point for everything a model can be named by; each kind of reference is read by its own module."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from moesize.errors import InputError, printable
from moesize.model.spec import ModelSpec

_SPEC_SUFFIXES: Final = (".yaml", ".yml")


def load_model(reference: str | Path, *, offline: bool = False, family: str | None = None) -> ModelSpec:
    """The model `reference` means.

    Args:
        reference: A catalogue name or alias, a Hub id (`org/name`, `org/name@revision`), or a path: to a
            config.json, a checkpoint folder, a .gguf file (any part of a split one) or a spec YAML.
        offline: Ask nobody; a Hub id is then read from the local Hugging Face cache.
        family: Read a configuration as this family although its model_type says otherwise.

    Raises:
        MoesizeError: one sentence that says what is wrong, where, and what to do.
    """
    text = str(reference)
    if not text.strip():
        raise InputError("no model is named")
    return _shown(_load(text, offline=offline, family=family))


def _shown(spec: ModelSpec) -> ModelSpec:
    """The spec with names that can be printed: folders and files may be called anything."""
    texts = (spec.name, spec.source, *spec.notes)
    if all(text.isprintable() for text in texts):
        return spec
    name, source, *notes = (printable(text, len(text)) for text in texts)
    return replace(spec, name=name, source=source, notes=tuple(notes))


def _load(text: str, *, offline: bool, family: str | None) -> ModelSpec:
    path = _as_path(text)
    if path is not None:
        return _load_path(path, family)
    from moesize.model import catalogue  # noqa: PLC0415  a path needs no catalogue

    if "/" not in text or catalogue.knows(text):
        return _again_as(catalogue.load(text), family)
    from moesize.model import hub, hub_http  # noqa: PLC0415  the network's modules are heavy

    try:
        return hub.load(text, offline=offline, family=family)
    except hub_http.HubUnreachableError as error:
        spec = _of_the_same_name(text)
        if spec is None:
            raise
        note = f"{spec.name} of the catalogue stands in for {printable(text)}: {error}"
        return replace(_again_as(spec, family), notes=(*spec.notes, note))


def _of_the_same_name(text: str) -> ModelSpec | None:
    """The catalogue's model called like a repository, whoever owns that."""
    from moesize.model import catalogue  # noqa: PLC0415

    match = catalogue.same_name(text.partition("@")[0])
    return catalogue.load_match(match) if match else None


def _again_as(spec: ModelSpec, family: str | None) -> ModelSpec:
    if family and family != spec.architecture:
        raise InputError(
            f"{spec.name} is of the family {spec.architecture}; --as is for configurations of unknown kind"
        )
    return spec


def _as_path(text: str) -> Path | None:
    """`text` as a path, where it is one: it exists, or is written as nothing but a path can be."""
    try:
        path = Path(text).expanduser()
        exists = path.exists()
    except (OSError, ValueError, RuntimeError):
        raise InputError(f"{printable(text)!r} is neither a model's name nor a path") from None
    looks = text.startswith(("/", "./", "../", "~")) or path.suffix.lower() in (*_SPEC_SUFFIXES, ".json", ".gguf")
    if exists and (looks or "/" in text or path.is_dir() or path.suffix):
        return path
    if looks:
        raise InputError(f"there is no file {printable(text)}")
    return None


def _load_path(path: Path, family: str | None) -> ModelSpec:
    if path.is_dir():
        from moesize.model import checkpoint  # noqa: PLC0415  only folders need it

        return checkpoint.load_folder(path, family=family)
    suffix = path.suffix.lower()
    if suffix in _SPEC_SUFFIXES:
        from moesize.model.spec_file import load_spec_file  # noqa: PLC0415

        return _again_as(load_spec_file(path), family)
    if suffix == ".gguf":
        from moesize.model import gguf_files  # noqa: PLC0415

        return gguf_files.load(path)
    if suffix == ".json":
        return load_config_file(path, family)
    raise InputError(f"{path} is no config.json, .gguf, spec YAML or checkpoint folder")


def load_config_file(path: Path, family: str | None) -> ModelSpec:
    """The model of a config.json; it is called after its folder.

    Raises:
        MoesizeError: unreadable, unknown kind, or a key that is missing or wrong.
    """
    from moesize.model.configs import read_json_mapping, spec_from_config  # noqa: PLC0415

    spec = spec_from_config(read_json_mapping(path), str(path), family=family)
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    return replace(spec, name=name)
