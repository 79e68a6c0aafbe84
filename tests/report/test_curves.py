"""The curves say what `check` says, wherever one asks."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesize import check, load_gpu, load_model
from moesize.curves import Curves, curves
from moesize.errors import InputError
from moesize.question import Question
from moesize.sizing import ask
from moesize.survey import LayoutWish, survey

DEPLOYMENTS = [
    ("mixtral-8x7b", "A100-80GB", {"gpus": 2, "quant": "fp16"}),
    ("gpt-oss-20b", "L4", {}),
    ("llama-3.1-8b", "A10G", {"context": 5000, "concurrency": 3, "kv_dtype": "fp8"}),
    ("deepseek-v2-lite", "L40S", {"concurrency": 7}),
    ("mixtral-8x7b", "A10G", {"gpus": 2, "quant": "q4_k_m", "engine": "llama.cpp"}),
]


def drawn(model: str, gpu: str, options: dict) -> tuple[Question, Curves]:
    question = ask(load_model(model), load_gpu(gpu), **options)
    return question, curves(question)


@pytest.mark.parametrize(("model", "gpu", "options"), DEPLOYMENTS)
def test_every_point_is_what_check_answers(model: str, gpu: str, options: dict) -> None:
    _, found = drawn(model, gpu, options)
    for line in (*found.by_context, *found.by_concurrency):
        for point in line.points[:: max(1, len(line.points) // 3)]:
            asked = {**options, "context": point.context_tokens, "concurrency": point.concurrency}
            answer = check(model, gpu, **asked)
            sums = answer.per_gpu
            assert (point.total_bytes, point.low_bytes, point.high_bytes) == (
                sums.total_bytes,
                sums.total_low_bytes,
                sums.total_high_bytes,
            )
            assert (point.verdict, found.budget_bytes) == (answer.verdict, sums.budget_bytes)


@pytest.mark.parametrize(("model", "gpu", "options"), DEPLOYMENTS)
def test_the_longest_context_is_the_last_with_its_verdict(model: str, gpu: str, options: dict) -> None:
    _, found = drawn(model, gpu, options)
    for one in found.longest:
        for longest, holds in ((one.fits_tokens, ("fits",)), (one.not_oom_tokens, ("fits", "tight"))):
            asked = {**options, "concurrency": one.concurrency}
            if longest:
                assert check(model, gpu, **{**asked, "context": longest}).verdict in holds
            beyond = (longest or 0) + 1
            if beyond <= found.limit_tokens:
                assert check(model, gpu, **{**asked, "context": beyond}).verdict not in holds


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.sampled_from(["mixtral-8x7b", "qwen3-30b-a3b", "gemma-3-27b", "falcon-h1-34b", "llama-3.1-8b"]),
    st.sampled_from(["A10G", "H100", "MI300X"]),
    st.integers(1, 300),
    st.integers(1, 30000),
)
def test_more_never_takes_less(model: str, gpu: str, concurrency: int, context: int) -> None:
    question, found = drawn(model, gpu, {"concurrency": concurrency, "context": context})
    for line in (*found.by_context, *found.by_concurrency):
        sizes = [point.total_bytes for point in line.points]
        assert sizes == sorted(sizes)
    for kind in ("fits_tokens", "not_oom_tokens"):
        reached = [getattr(one, kind) or 0 for one in found.longest]
        assert reached == sorted(reached, reverse=True)
    asked = [line for line in (*found.by_context, *found.by_concurrency) if line.asked]
    assert len(asked) == 2
    for line in asked:
        assert any((p.context_tokens, p.concurrency) == (context, concurrency) for p in line.points)
    assert found.limit_tokens == question.spec.context_length


def test_caches_that_nobody_discloses_are_not_drawn() -> None:
    _, found = drawn("gpt-4", "H200", {"tp": 8, "quant": "fp8"})
    assert (found.by_context, found.by_concurrency, found.longest) == ((), (), ())


def test_no_model_is_left_out_of_the_charts() -> None:
    cards = [load_gpu(name) for name in ("A10G", "L40S", "H100", "H200", "B200")]
    specs = [load_model(name) for name in ("llama-3.1-8b", "mixtral-8x7b", "deepseek-v3")]
    found = survey(specs, cards, [None, "fp8"], most_cases=3)
    assert [case.result.model.name for case in found.cases] == ["llama-3.1-8b", "mixtral-8x7b", "deepseek-v3"]
    for case in found.cases:
        best = next(row for row in found.comparison.rows if row.model == case.result.model.name)
        assert (case.result.gpu.name, case.result.gpu.count, case.result.quant.name) == (
            best.gpu,
            best.gpus,
            best.quant,
        )


def test_a_layout_that_is_asked_for_is_kept_and_what_fits_on_it_comes_first() -> None:
    cards = [load_gpu(name) for name in ("A10G", "H200")]
    found = survey([load_model("mixtral-8x7b")], cards, [None, "fp8"], wish=LayoutWish(gpus=1))
    assert [case.result.gpu.count for case in found.cases] == [1] * 4
    verdicts = [case.result.verdict for case in found.cases]
    assert verdicts[:2] == ["fits", "fits"]
    assert verdicts[-1] == "oom"


def test_what_cannot_be_laid_out_is_named() -> None:
    cards = [load_gpu("A10G")]
    both = [load_model("mixtral-8x7b"), load_model("llama-3.1-8b")]
    found = survey(both, cards, [None], wish=LayoutWish(gpus=8, ep=True))
    assert [case.result.model.name for case in found.cases] == ["mixtral-8x7b"]
    assert len(found.skipped) == 1
    assert "llama-3.1-8b is a dense model" in found.skipped[0]
    with pytest.raises(InputError, match="dense model"):
        survey(both[1:], cards, [None], wish=LayoutWish(gpus=8, ep=True))
