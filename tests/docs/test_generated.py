"""Generated pages are fresh, every page of the docs builds without a warning, and nothing leads nowhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from moesize.cli.main import COMMANDS
from scripts.docgen import reference
from scripts.docgen.__main__ import generated
from scripts.docgen.blocks import ROOT, pages


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_generated_pages_are_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], "run `python -m scripts.docgen`"


def test_every_command_and_option_is_in_the_reference() -> None:
    text = reference.commands()
    for command in COMMANDS:
        assert f"## `moesize {command}" in text
    assert "`--gpu-memory-utilization`" in text
    assert "`--tensor-parallel-size`" in text


def test_every_key_of_an_answer_is_in_the_reference() -> None:
    text = reference.json_schemas()
    for key in ("schema", "per_gpu", "total_high_bytes", "decode_tokens_per_second_bound", "near_misses"):
        assert f"| `{key}` |" in text


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "index.html").exists()


def test_pages_name_files_that_exist() -> None:
    """`moesize/x/y.py`, `tests/…` and their like, wherever a page writes them as code."""
    paths = re.compile(r"`((?:moesize|tests|scripts|validation|benchmarks|docs|model_specs|gpu_specs)/[\w./-]+)`")
    missing = [
        f"{page.name}: {name}"
        for page in pages()
        for name in paths.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ]
    assert missing == []
