"""Thresholds on the public figures of engines other than vLLM."""

from functools import cache
from statistics import median

import pytest

from validation.runtime import RuntimeScores, score_runtime


@cache
def scores() -> RuntimeScores:
    return score_runtime()


@pytest.mark.parametrize(
    ("term", "worst"),
    [
        ("llama.cpp: weights", 0.01),
        ("llama.cpp: weights of the fullest GPU", 0.01),
        ("llama.cpp: KV cache", 0.01),
        ("llama.cpp: KV cache and compute buffer", 0.02),
        ("sglang: weights", 0.01),
        ("sglang: KV cache of the printed tokens", 0.01),
        ("tensorrt-llm: weights", 0.01),
        ("tensorrt-llm: KV cache of the printed tokens", 0.01),
    ],
)
def test_every_row_is_within(term: str, worst: float) -> None:
    found = scores().of(term)
    assert found
    assert {e.row.id: e.relative for e in found if abs(e.relative) > worst} == {}


def test_compute_buffers() -> None:
    found = [abs(e.relative) for e in scores().of("llama.cpp: compute buffer")]
    assert len(found) > 30
    assert median(found) <= 0.01
    assert sum(error <= 0.15 for error in found) / len(found) >= 0.9


def test_compute_buffers_of_different_models_count_alike() -> None:
    """Most rows are one model on many cards: a model's median is one vote."""
    by_model: dict[str, list[float]] = {}
    for error in scores().of("llama.cpp: compute buffer"):
        by_model.setdefault(error.row.asked["model"], []).append(abs(error.relative))
    assert len(by_model) >= 7
    assert median(median(errors) for errors in by_model.values()) <= 0.15


def test_no_false_fit_and_few_false_alarms() -> None:
    found = scores().verdicts
    assert [v.row.id for v in found if v.observed != "ok" and v.predicted == "fits"] == []
    succeeded = [v for v in found if v.observed == "ok"]
    assert sum(v.predicted != "oom" for v in succeeded) / len(succeeded) >= 0.9
    assert scores().failed == ()
