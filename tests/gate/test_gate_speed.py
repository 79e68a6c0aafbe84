"""The whole gate over a generated tree takes time in proportion to its files."""

import importlib.util
import time
from pathlib import Path

from moesize.gate.run import Run
from moesize.report.gate import renderer

_spec = importlib.util.spec_from_file_location(
    "moesize_benchmarks_gate", Path(__file__).parents[2] / "benchmarks" / "gate.py"
)
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


def test_two_hundred_manifests(tmp_path: Path) -> None:
    benchmark.write_tree(tmp_path, 200)
    run = Run(tmp_path)
    run.gate([tmp_path / "team-0"])
    started = time.process_time()
    result = run.gate([tmp_path])
    for name in ("json", "sarif", "junit", "markdown", "github", "text"):
        renderer(name)(result)
    # 1,000 manifests of 5,000 documents are to take less than 10 s, the first evaluations included
    assert time.process_time() - started < 2
    assert (result.summary.documents, result.summary.deployments) == (1000, 200)
