"""What `pip install` puts into a fresh virtual environment, of this checkout or of any requirement, in 10^6 bytes.

Run: python -m benchmarks.install_size [REQUIREMENT]. Sums by distribution what pip's RECORD files list, without pip's
own: the files of the wheels, the bytecode pip compiles of them, and the disk blocks of both.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TOOLS = ("pip", "setuptools", "wheel")


class Size(NamedTuple):
    """Bytes of a distribution: what its wheel brings, what pip compiles of it, and the disk blocks of both."""

    files: int
    bytecode: int
    blocks: int

    def __add__(self, other: tuple[int, ...]) -> "Size":  # type: ignore[override]
        return Size(*(a + b for a, b in zip(self, other, strict=True)))


def installed(venv: Path) -> dict[str, Size]:
    """The size of every distribution of a virtual environment but its tools, largest first."""
    sizes = {
        record.parent.name.partition("-")[0]: sum(map(_size, _files(record)), Size(0, 0, 0))
        for record in venv.glob("lib/python*/site-packages/*.dist-info/RECORD")
    }
    ours = {name: size for name, size in sizes.items() if name not in _TOOLS}
    return dict(sorted(ours.items(), key=lambda item: -item[1].files))


def _files(record: Path) -> Iterator[Path]:
    with record.open(encoding="utf-8", newline="") as lines:
        for name, *_ in csv.reader(lines):
            path = record.parent.parent / name
            if path.is_file():
                yield path


def _size(path: Path) -> Size:
    status = path.stat()
    is_bytecode = path.suffix == ".pyc"
    return Size(0 if is_bytecode else status.st_size, status.st_size if is_bytecode else 0, status.st_blocks * 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirement", nargs="?", default=".")
    requirement = parser.parse_args().requirement
    with tempfile.TemporaryDirectory() as name:
        venv = Path(name)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "--quiet", "--compile", requirement], check=True)
        sizes = installed(venv)
    total = sum(sizes.values(), Size(0, 0, 0))
    print(f"{'MB':<24}{'files':>8}{'bytecode':>10}{'together':>10}{'on disk':>9}")
    for package, size in [*sizes.items(), ("total", total)]:
        figures = (size.files, size.bytecode, size.files + size.bytecode, size.blocks)
        print(f"{package:<24}" + "".join(f"{n / 1e6:>{w}.1f}" for n, w in zip(figures, (8, 10, 10, 9), strict=True)))


if __name__ == "__main__":
    main()
