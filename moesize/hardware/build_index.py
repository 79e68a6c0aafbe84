"""Regenerates `gpu_specs/index.json`: `python -m moesize.hardware.build_index`."""

import json
import sys
from pathlib import Path

from moesize.data import data_dir
from moesize.errors import MoesizeError
from moesize.hardware.catalogue import build_index


def rendered(folder: Path) -> str:
    """The index of a folder of specs, one entry a line so that changes read well."""
    return json.dumps(build_index(folder), indent=0, sort_keys=True) + "\n"


def main() -> int:
    """Writes the index; 2 and one sentence when a spec is wrong."""
    folder = data_dir("gpu_specs")
    try:
        text = rendered(folder)
    except MoesizeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    (folder / "index.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
