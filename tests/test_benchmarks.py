"""What benchmarks measure is what they say: copies of the catalogue work, sizes are sums of pip's records, peaks are the process's."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.catalogue import write_catalogue
from benchmarks.hub_stand_in import REPOSITORIES, repository
from benchmarks.install_size import Size, installed
from benchmarks.measure import ENVIRONMENT
from moesize.data import data_dir

ROOT = Path(__file__).parents[1]


def test_a_grown_catalogue_answers_for_its_copies(tmp_path: Path) -> None:
    own = len(list(data_dir("model_specs").glob("*.yaml")))
    write_catalogue(tmp_path, own + 3)
    assert len(list((tmp_path / "model_specs").glob("*.yaml"))) == own + 3
    command = [sys.executable, "-m", "moesize", "check", "mixtral-8x7b-copy-0", "--gpu", "A100-80GB", "--gpus", "2"]
    done = subprocess.run(
        [*command, "--offline"],
        env=ENVIRONMENT | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("FITS  mixtral-8x7b-copy-0")


MEASURED = """
import sys
from benchmarks.measure import Command, run, side_by_side
small, large = ([sys.executable, "-c", f"x = b'x' * {n}; print(len(x))"] for n in (1, 200_000_000))
figures = side_by_side({"large": Command(large), "small": Command(small)}, runs=1)
print(figures["large"].peak_mib - figures["small"].peak_mib, figures["large"].last.output)
print(run(Command([sys.executable, "-c", "raise SystemExit(3)"])).status)
"""


def test_a_process_is_measured_alone() -> None:
    # in a small process, as benchmarks run: what it holds itself is a floor of every peak
    done = subprocess.run([sys.executable, "-c", MEASURED], cwd=ROOT, capture_output=True, text=True, check=True)
    difference_mib, printed, status = done.stdout.split()
    assert float(difference_mib) > 150
    assert (printed, status) == ("200000000", "3")


def test_sizes_are_those_of_the_records(tmp_path: Path) -> None:
    place = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("some_package", "pip"):
        record = place / f"{name}-1.0.dist-info" / "RECORD"
        record.parent.mkdir(parents=True)
        (place / f"{name}.py").write_bytes(b"x" * 1000)
        (place / f"{name}.pyc").write_bytes(b"x" * 300)
        record.write_text(f"{name}.py,,\n{name}.pyc,,\ngone.py,,\n")
    sizes = installed(tmp_path)
    assert list(sizes) == ["some_package"]
    assert sizes["some_package"][:2] == (1000, 300)
    assert Size(1, 2, 3) + Size(1, 1, 1) == (2, 3, 4)


@pytest.mark.parametrize(
    ("name", "published_bytes"),
    # sizes of the real repositories' weight files: validation/data/checkpoint_sizes.yaml
    [
        ("stand-in/Mixtral-8x7B-v0.1", 93405713504),
        ("stand-in/Llama-3.1-8B", 16060556376),
        ("stand-in/DeepSeek-V3", 688586727753),
    ],
)
def test_the_stand_in_has_files_as_large_as_the_hub(name: str, published_bytes: int) -> None:
    files = repository(*REPOSITORIES[name])
    weights = sum(file.size for path, file in files.items() if path.endswith(".safetensors"))
    assert weights == pytest.approx(published_bytes, rel=1e-5)
