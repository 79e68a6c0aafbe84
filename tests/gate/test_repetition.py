"""What a tree repeats is worked out once: more files of the same servers cost no further answers."""

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moesize import advice
from moesize.gate import estimator
from moesize.gate.run import Run
from moesize.model import catalogue
from moesize.report.gate import renderer

_spec = importlib.util.spec_from_file_location(
    "moesize_benchmarks_gate", Path(__file__).parents[2] / "benchmarks" / "gate.py"
)
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)

#: After so many files the tree's models, GPUs, layouts and lengths repeat: the least common multiple of their cycles.
PERIOD = 280


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the costly steps are taken."""
    found: Counter[str] = Counter()

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            found[name] += 1
            return real(*args, **kwargs)

        return call

    for module, name in ((estimator, "evaluate"), (advice, "suggestions_for"), (catalogue, "load_match")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    return found


def test_a_tree_twice_as_large_asks_no_more(tmp_path: Path, calls: Counter[str]) -> None:
    taken = []
    for files in (PERIOD, 2 * PERIOD):
        folder = tmp_path / str(files)
        folder.mkdir()
        benchmark.write_tree(folder, files)
        calls.clear()
        result = Run(folder).gate([folder])
        for name in ("json", "sarif", "junit", "markdown", "github", "text"):
            renderer(name)(result)
        assert (result.summary.documents, result.summary.deployments) == (5 * files, files)
        taken.append(dict(calls))
    once, twice = taken
    assert once == twice
    assert once["load_match"] == len(benchmark.MODELS) - 1, "each known model is read once; one is not known"
    assert 0 < once["suggestions_for"] < PERIOD
    assert PERIOD // 2 < once["evaluate"] < 3 * PERIOD


def test_another_tree_of_the_same_run_asks_nothing_new(tmp_path: Path, calls: Counter[str]) -> None:
    benchmark.write_tree(tmp_path, 40)
    run = Run(tmp_path)
    run.gate([tmp_path])
    calls.clear()
    run.gate([tmp_path])
    assert calls["evaluate"] == calls["suggestions_for"] == calls["load_match"] == 0
