"""Thresholds on the public figures of engines other than vLLM."""

from functools import cache
from statistics import median

import pytest

from validation.runtime import RuntimeScores, score_runtime


@cache
def scores() -> RuntimeScores:
    return score_runtime()


@pytest.mark.parametrize(
    ("engine", "term", "worst"),
    [
        ("llama.cpp", "weights_mib", 0.01),
        ("llama.cpp", "fullest_weights_mib", 0.01),
        ("llama.cpp", "kv_mib", 0.01),
        ("llama.cpp", "kv_and_compute_mib", 0.02),
        ("sglang", "weights_gib", 0.01),
        ("sglang", "kv_gib", 0.01),
        ("tensorrt-llm", "weights_gib", 0.01),
        ("tensorrt-llm", "kv_gib", 0.01),
    ],
)
def test_every_row_is_within(engine: str, term: str, worst: float) -> None:
    found = scores().of(engine, term)
    assert found
    assert {s.row.id: s.error for s in found if abs(s.error) > worst} == {}


def test_compute_buffers() -> None:
    found = [abs(s.error) for s in scores().of("llama.cpp", "compute_mib")]
    assert len(found) > 30
    assert median(found) <= 0.01
    assert sum(error <= 0.15 for error in found) / len(found) >= 0.9


def test_compute_buffers_of_different_models_count_alike() -> None:
    """Most rows are one model on many cards: a model's median is one vote."""
    by_model: dict[str, list[float]] = {}
    for score in scores().of("llama.cpp", "compute_mib"):
        by_model.setdefault(score.row.asked["model"], []).append(abs(score.error))
    assert len(by_model) >= 7
    assert median(median(errors) for errors in by_model.values()) <= 0.15


def test_no_false_fit_and_few_false_alarms() -> None:
    found = scores().verdicts
    assert [v.row.id for v in found if v.outcome == "oom" and v.verdict == "fits"] == []
    succeeded = [v for v in found if v.outcome == "ok"]
    assert sum(v.verdict != "oom" for v in succeeded) / len(succeeded) >= 0.9
    assert scores().failed == ()
