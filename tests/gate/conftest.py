from pathlib import Path

import pytest

from moesize.gate.facts import ReadResult
from moesize.gate.read import read_deployments


@pytest.fixture
def read_text(tmp_path):
    """Reads one file of the given text."""

    def read(text: str, name: str = "file.yaml") -> ReadResult:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return read_deployments([Path(path)], root=tmp_path)

    return read
