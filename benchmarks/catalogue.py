"""How the catalogue's size shows: commands over 10 to 1,000 model specs, in processes of their own.

Run: python -m benchmarks.catalogue [--runs N]. Each size is a copy of the package with that many specs beside it: first
the catalogue's own, then renamed copies of them; the index is built by the package itself. Ratios are to 10 specs.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.measure import ENVIRONMENT, Command, show, side_by_side
from moesize.data import data_dir

SIZES = (10, 100, 1000)
MODEL = "mixtral-8x7b"
COMMANDS = {
    "check": ["check", MODEL, "--gpu", "A100-80GB", "--gpus", "2"],
    "check of an unknown name": ["check", "mixtrel-8x7c", "--gpu", "A100-80GB", "--offline"],
    "models list": ["models", "list"],
}


def write_catalogue(folder: Path, size: int) -> None:
    """A checkout of the package alone, with `size` model specs and their index."""
    own = data_dir("model_specs")
    shutil.copytree(own.parent / "moesize", folder / "moesize", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(data_dir("gpu_specs"), folder / "gpu_specs")
    specs = folder / "model_specs"
    specs.mkdir()
    # a quantised sibling needs its base beside it: those that stand alone come first
    files = sorted(own.glob("*.yaml"), key=lambda path: (path.stem != MODEL, _has_base(path), path.stem))
    for path in files[:size]:
        shutil.copy(path, specs)
    alone = [path for path in files if not _has_base(path)]
    for n in range(max(0, size - len(files))):
        _write_copy(alone[n % len(alone)], specs, n)
    env = ENVIRONMENT | {"PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-m", "moesize.model.build_index"], env=env, cwd=folder, check=True)


def _has_base(path: Path) -> bool:
    return "\nbase:" in path.read_text(encoding="utf-8")


def _write_copy(path: Path, folder: Path, n: int) -> None:
    """The spec under another name, with as many names as it has."""
    document = yaml.safe_load(path.read_bytes())
    document["name"] = f"{document['name']}-copy-{n}"
    for names in ("aliases", "hub_ids"):
        if names in document:
            document[names] = [f"{name}-copy-{n}" for name in document[names]]
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / f"{document['name']}.yaml").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    own = len(list(data_dir("model_specs").glob("*.yaml")))
    with tempfile.TemporaryDirectory() as name:
        places = {size: Path(name) / str(size) for size in sorted({*SIZES, own})}
        for size, folder in places.items():
            folder.mkdir()
            write_catalogue(folder, size)
        for what, words in COMMANDS.items():
            commands = {
                f"{what}, {size:,} specs": Command(
                    [sys.executable, "-m", "moesize", *words], ENVIRONMENT | {"PYTHONPATH": str(folder)}, folder
                )
                for size, folder in places.items()
            }
            show(side_by_side(commands, runs), f"{what}, 10 specs", statuses=(0, 1, 2))


if __name__ == "__main__":
    main()
