"""Regenerates `model_specs/index.json`: `python -m moesize.model.build_index`."""

import json
import sys
from pathlib import Path
from typing import Any

from moesize.data import data_dir
from moesize.errors import InputError, MoesizeError, NotSizeableError
from moesize.model.catalogue import names_of
from moesize.model.spec import ModelSpec
from moesize.model.spec_file import load_spec_file, merged_config, read_document


def build_index(folder: Path) -> dict[str, dict[str, Any]]:
    """The content of `index.json` for a folder of specs.

    Raises:
        InputError: a spec that is wrong, whose name is not its file's, or two that claim the same name.
    """
    names: dict[str, str] = {}
    models: dict[str, dict[str, Any]] = {}
    sizes: dict[str, int] = {}
    for path in sorted(folder.glob("*.yaml")):
        document = read_document(path)
        name = str(document["name"])
        if name != path.stem:
            raise InputError(f"{path}: its name is {name!r}, the file's is {path.stem!r}")
        own = names_of(document, path)
        for key in own[:1] + tuple(k for k in own[1:] if k):
            if names.setdefault(key, name) != name:
                raise InputError(f"{path}: the name {key!r} also belongs to {names[key]}")
        models[name] = _entry(document, path)
        sizes[name] = path.stat().st_size
    return {"names": names, "models": models, "sizes": sizes}


def _entry(document: dict[str, Any], path: Path) -> dict[str, Any]:
    title = str(document["title"])
    try:
        spec = load_spec_file(path)
    except NotSizeableError:
        return {"title": title, "family": "undisclosed", "total": None, "active": None}
    counts, experts = spec.params, spec.experts
    published = spec.counts
    return {
        "title": title,
        "family": spec.architecture,
        "total": published.total if published else counts.total,
        "active": published.active if published else counts.active,
        "routed": experts.routed,
        "shared": experts.shared,
        "per_token": experts.per_token,
        "layers": spec.num_layers,
        "dtype": spec.dtype,
        "quant": _quant_method(spec, document, path),
        "context": spec.context_length,
        "as_of": str(document["as_of"]),
    }


def _quant_method(spec: ModelSpec, document: dict[str, Any], path: Path) -> str | None:
    """The checkpoint's own quantisation as its configuration names it."""
    if spec.quantization_config is None or not merged_config(document, path):
        return None
    method = spec.quantization_config.get("quant_method") or spec.quantization_config.get("quant_algo")
    return str(method) if method else None


def rendered(index: dict[str, dict[str, Any]]) -> str:
    """The index as text, one entry a line so that changes read well."""
    parts = []
    for part, entries in sorted(index.items()):
        lines = [f"{json.dumps(key)}: {json.dumps(entries[key])}" for key in sorted(entries)]
        parts.append(f"{json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    """Writes the index; 2 and one sentence when a spec is wrong."""
    folder = data_dir("model_specs")
    try:
        text = rendered(build_index(folder))
    except MoesizeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    (folder / "index.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
