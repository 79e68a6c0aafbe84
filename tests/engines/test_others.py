"""TensorRT-LLM, TGI, transformers and DeepSpeed: their budget rule, and what they refuse."""

from dataclasses import replace

import pytest

from moesize.engines import ENGINES, load_engine
from moesize.engines.base import EngineOptions
from moesize.errors import InputError, MoesizeError
from moesize.hardware.gpu import load_gpu
from moesize.memory.layout import LayoutError
from moesize.model.loader import load_model
from moesize.question import Evaluation, evaluate
from moesize.sizing import ask
from moesize.units import GIB

OTHERS = ["tensorrt-llm", "tgi", "transformers", "deepspeed"]


def answer(
    engine: str, model: str = "llama-3.1-8b", gpu: str = "A100-80GB", options: EngineOptions | None = None, **kwargs
) -> Evaluation:
    spec = load_model(model, offline=True)
    return evaluate(ask(spec, load_gpu(gpu), engine=engine, options=options, **kwargs))


def test_tensorrt_takes_its_fraction_of_what_is_free() -> None:
    """https://github.com/faradawn/bench3: 0.9 · (139.80 − 17.62) = 109.96 GiB, 900,800 tokens."""
    spec = load_model("llama-3-8b", offline=True)
    card = replace(load_gpu("H200"), memory_bytes=round(139.80 * GIB))
    question = ask(
        spec,
        card,
        engine="tensorrt-llm",
        context=1024,
        options=EngineOptions(max_num_batched_tokens=1024, max_num_seqs=32),
    )
    pool = evaluate(question).plan.pool
    assert pool is not None
    assert pool.n_bytes / GIB == pytest.approx(109.96, rel=0.01)
    assert pool.tokens == pytest.approx(900_800, rel=0.01)
    half = evaluate(replace(question, options=replace(question.options, gpu_memory_utilization=0.45))).plan.pool
    assert half is not None
    assert half.n_bytes == pytest.approx(pool.n_bytes / 2, rel=1e-6)


def test_tgi_budget_is_a_fraction_of_the_card() -> None:
    plan = answer("tgi").plan
    assert plan.budget_bytes == int(plan.device_bytes * 0.9)


def test_deepspeed_leaves_a_gigabyte_and_says_it_is_not_calibrated() -> None:
    plan = answer("deepspeed").plan
    assert next(t for t in plan.terms if t.term == "reserve").n_bytes == 10**9
    assert "uncalibrated" in plan.notes[0]
    with pytest.raises(InputError, match="deepspeed has no fp8"):
        answer("deepspeed", kv_dtype="fp8")


def test_zero_inference_moves_weights_and_pays_on_the_link() -> None:
    plain = answer("deepspeed", "mixtral-8x7b", gpu="A10G", tp=4)
    moved = answer("deepspeed", "mixtral-8x7b", gpu="A10G", tp=4, options=EngineOptions(cpu_offload_bytes=10 * GIB))
    assert moved.totals.weights == plain.totals.weights - 10 * GIB
    assert moved.plan.host_bytes == 10 * GIB
    assert "10.00 GiB" in moved.plan.notes[-1]


def test_transformers_keeps_scores_only_in_eager_attention() -> None:
    sdpa, eager = (
        answer("transformers", context=8192, options=EngineOptions(flash_attention=flash)) for flash in (None, False)
    )
    assert eager.totals.activation - sdpa.totals.activation == 32 * 8192**2 * 8


def test_transformers_once_computed_logits_of_the_whole_prompt() -> None:
    before, after = (answer("transformers", context=8192, engine_version=v).totals.activation for v in ("4.44", "4.45"))
    assert before == 8192 * 128256 * 6
    assert after < before


def test_transformers_spreads_layers() -> None:
    one, two = (answer("transformers", "mixtral-8x7b", gpus=n).totals.weights for n in (1, 2))
    assert two == pytest.approx(one / 2, rel=0.02)


@pytest.mark.parametrize("engine", OTHERS)
def test_every_term_has_its_source_and_interval(engine: str) -> None:
    plan = answer(engine).plan
    for term in plan.terms:
        assert term.low_bytes <= term.n_bytes <= term.high_bytes, term.term
        assert "https://" in term.source, term.term
    assert any("uncalibrated" in note for note in plan.notes)


@pytest.mark.parametrize("engine", OTHERS)
def test_versions_and_layouts_are_refused_in_words(engine: str) -> None:
    with pytest.raises(InputError, match=r"is not known yet"):
        answer(engine, engine_version="99.1")
    with pytest.raises(InputError, match=f"no version of {engine}"):
        answer(engine, engine_version="latest")
    if engine != "tensorrt-llm":
        with pytest.raises(LayoutError, match="--dp"):
            answer(engine, dp=2)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_hybrids_experts_and_published_totals_are_answered_by_all(engine: str) -> None:
    quant = "q4_k_m" if load_engine(engine).name in ("llama.cpp", "ollama") else None
    for model in ("qwen3-next-80b-a3b", "gpt-oss-20b", "gemma-3-4b", "mamba-2.8b"):
        try:
            found = answer(
                engine, model, gpu="H200", quant=quant or ("bf16" if model == "gpt-oss-20b" else None), context=4096
            )
        except MoesizeError as error:
            pytest.fail(f"{model}: {error}")
        assert found.plan.pool is not None
        assert found.plan.pool.needed_bytes > 0


def test_tensorrt_needs_nvidia() -> None:
    with pytest.raises(LayoutError, match="NVIDIA"):
        answer("tensorrt-llm", gpu="MI300X")
