"""Regenerates `model_specs/index.json`: `python -m moesize.model.build_index`."""

import json
import sys
from pathlib import Path
from typing import Any

from moesize.data import data_dir
from moesize.errors import MoesizeError, NotSizeableError
from moesize.model.catalogue import Names, claimed, names_of
from moesize.model.spec import ModelSpec
from moesize.model.spec_file import load_spec_file, merged_config, read_document


def build_index(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The content of `index.json` for a folder of specs, and a sentence for everything that is wrong with them."""
    names: dict[str, Names] = {}
    models: dict[str, dict[str, Any]] = {}
    sizes: dict[str, int] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            document = read_document(path)
            if document["name"] != path.stem:
                problems.append(f"{path.name}: its name is {document['name']!r}")
            names[path.stem] = names_of(document, path)
            models[path.stem] = _entry(document, path)
        except MoesizeError as error:
            problems.append(str(error))
        sizes[path.stem] = path.stat().st_size
    known, collisions = claimed(names)
    return {"names": known, "models": models, "sizes": sizes}, problems + collisions


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
    """Writes the index; 2 when a spec is wrong, and says in which ways all of them are."""
    folder = data_dir("model_specs")
    index, problems = build_index(folder)
    (folder / "index.json").write_text(rendered(index), encoding="utf-8")
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
