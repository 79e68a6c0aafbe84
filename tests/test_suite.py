"""What the suite leaves out, and when: nothing by default, and without torch only the files that need it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from scripts.floor import named, requirements
from tests.conftest import NEED_TORCH

TESTS = Path(__file__).parent
ORACLES = {"torch", "transformers", "accelerate", "compressed_tensors"}
#: Helpers that import one of them, by the words tests name them with.
HELPERS = ('"oracle.py"', '"writers.py"', "tests.probe.probing")


def needs_torch(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    at_load = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.split(".")[0]
        for node in at_load
        for name in ([one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    return bool(names & ORACLES) or any(helper in text for helper in HELPERS)


def test_the_files_that_need_torch_are_those_that_are_listed() -> None:
    found = {
        p.relative_to(TESTS).as_posix()
        for p in TESTS.rglob("test_*.py")
        if p.name != "test_suite.py" and needs_torch(p)
    }
    listed = {path for path in NEED_TORCH if path.endswith(".py")}
    assert {path for path in found if not path.startswith("probe/")} == listed
    assert any(path.startswith("probe/") for path in found)


def test_torch_is_not_left_out_unless_it_is_said() -> None:
    """Without torch and without the variable the run fails: collecting is an error, not a skip."""
    code = "import sys, pytest; sys.modules['torch'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "-q", "--collect-only", "-n", "0", "-p", "no:cacheprovider", "tests/compute"]
    base = {key: value for key, value in os.environ.items() if not key.startswith(("MOESIZE_", "PYTEST_"))}
    plain = subprocess.run(command, cwd=TESTS.parent, env=base, capture_output=True, text=True, check=False)
    assert plain.returncode != 0
    assert "test_flops.py" in plain.stdout
    told = subprocess.run(
        command,
        cwd=TESTS.parent,
        env=base | {"MOESIZE_TESTS_WITHOUT_TORCH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout
    assert "test_experts.py" in told.stdout


def test_the_lowest_versions_are_those_that_are_stated() -> None:
    lowest, newest = requirements("lowest"), requirements("newest")
    assert "typer==0.18" in lowest
    assert any(one.startswith("typer>=0.18,<") for one in newest)
    assert {named(one) for one in lowest} == {named(one) for one in newest}
    assert "torch" not in {named(one) for one in lowest}
