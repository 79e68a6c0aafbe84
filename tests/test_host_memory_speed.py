"""Speed bounds where weights stay in host memory: what is read where, what crosses, and what fits with how much moved."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesize.advice import suggestions_for
from moesize.engines import ENGINES
from moesize.engines.base import EngineOptions
from moesize.engines.streaming import streaming_of
from moesize.errors import InputError, MoesizeError
from moesize.hardware.gpu import load_gpu
from moesize.hardware.host_memory import host_memory_bytes_per_second, with_host_memory
from moesize.model.loader import load_model
from moesize.question import Question, evaluate
from moesize.sizing import ask, size
from moesize.speed import Speed, speed_of
from moesize.units import GIB

MOE = load_model("qwen3-30b-a3b", offline=True)
DENSE = load_model("llama-3.1-8b", offline=True)
CARD = with_host_memory(load_gpu("RTX 4090"), 80)


def asked(
    spec=MOE, *, card=CARD, engine="llama.cpp", quant="q4_k_m", context=4096, concurrency=1, gpus=None, **options
):
    """A question with options of the engine."""
    options = EngineOptions(flash_attention=True if engine == "llama.cpp" else None, **options)
    return ask(
        spec, card, engine=engine, quant=quant, context=context, concurrency=concurrency, gpus=gpus, options=options
    )


def speed(question: Question) -> Speed:
    return speed_of(question, evaluate(question).plan)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 48), st.integers(1, 31), st.integers(1, 3))
def test_a_byte_is_read_in_one_place(moved: int, concurrency: int, gpus: int) -> None:
    """What leaves the GPU's reads arrives in the CPU's, whatever the batch and however many GPUs."""
    base = asked(concurrency=concurrency, gpus=gpus)
    here, there = evaluate(base).plan, replace(base, options=replace(base.options, n_cpu_moe=moved))
    found = evaluate(there).plan.hybrid
    experts = sum(term.n_bytes for term in here.terms if term.term == "routed_expert")
    if found is None:
        assert moved == 0
        return
    on_gpus = sum(held.expert_bytes for held in found.gpus)
    if gpus == 1:
        assert on_gpus + found.host.expert_bytes == experts
    assert sum(held.cache_share for held in found.gpus) == pytest.approx(1)
    assert found.host.cache_share == 0  # a layer's cache lies beside its attention
    assert speed(there).host_read_bytes_per_token > 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 47), st.integers(1, 31))
def test_moving_more_to_slower_memory_never_raises_the_bound(moved: int, concurrency: int) -> None:
    less, more = (speed(asked(concurrency=concurrency, n_cpu_moe=n)) for n in (moved, moved + 1))
    assert less.tokens_per_second
    assert more.tokens_per_second
    assert more.tokens_per_second < less.tokens_per_second
    assert more.host_read_bytes_per_token > less.host_read_bytes_per_token


def test_one_token_reads_the_experts_it_selects() -> None:
    question = asked(n_cpu_moe=48)
    plan = evaluate(question).plan
    assert plan.hybrid
    found = speed(question)
    assert found.host_read_bytes_per_token == pytest.approx(plan.hybrid.host.expert_bytes * 8 / 128, rel=1e-6)
    # to each of 48 layers one state of 2,048 float32, back one of each of 8 experts
    assert found.host_link_bytes_per_token == 48 * 9 * 2048 * 4
    assert found.seconds_per_token == pytest.approx(
        found.read_bytes / 1008e9 + found.host_read_bytes_per_token / 80e9 + 48 * 9 * 2048 * 4 / 31.5e9, rel=1e-3
    )
    assert found.binds == "host memory"


def test_layers_left_whole_keep_their_cache_beside_them() -> None:
    some, none = (speed(asked(DENSE, n_gpu_layers=n)) for n in (17, 0))
    assert 0 < some.host_read_bytes_per_token < none.host_read_bytes_per_token
    assert none.read_bytes == 0
    assert none.host_link_bytes_per_token == 0
    assert some.host_link_bytes_per_token == 4096 * 4
    cache = 4096 * 131072  # 8 heads of 128, keys and values, 32 layers, float16
    weights = evaluate(asked(DENSE, n_gpu_layers=0)).plan.hybrid
    assert weights
    assert none.host_read_bytes_per_token == weights.host.dense_bytes + cache


def test_unknown_host_memory_is_left_out_and_said() -> None:
    unknown = asked(card=load_gpu("RTX 4090"), n_cpu_moe=48)
    found = speed(unknown)
    assert found.leaves_out_host
    assert found.host_memory_bytes_per_second is None
    fast = speed(replace(unknown, gpu=with_host_memory(unknown.gpu, 10_000)))
    assert not fast.leaves_out_host
    assert found.tokens_per_second
    assert fast.tokens_per_second
    assert found.tokens_per_second > fast.tokens_per_second
    report = size(MOE, "RTX 4090", engine="llama.cpp", quant="q4_k_m", options=EngineOptions(n_cpu_moe=48))
    assert report.compute.bound_leaves_out == "host memory"
    assert report.compute.host_weights_bytes > 15 * GIB


def test_memory_shared_with_the_gpu_needs_no_figure() -> None:
    found = speed(asked(card=load_gpu("apple-m2-max-64gb"), n_cpu_moe=48))
    assert not found.leaves_out_host
    assert found.host_memory_bytes_per_second == load_gpu("apple-m2-max-64gb").bandwidth_bytes_per_second
    assert found.host_link_bytes_per_token == 0


def test_from_32_sequences_on_the_weights_cross_instead() -> None:
    """`GGML_OP_OFFLOAD_MIN_BATCH`: https://github.com/ggml-org/llama.cpp/pull/18535"""
    below, above = (speed(asked(context=512, concurrency=n, n_cpu_moe=48)) for n in (31, 32))
    assert below.host_link_bytes_per_token == 48 * 9 * 2048 * 4
    assert above.host_read_bytes_per_token == 0
    assert above.host_link_bytes_per_token > 100 * below.host_link_bytes_per_token


def test_a_prompt_brings_host_weights_over_once_for_each_physical_batch() -> None:
    small, large = (speed(asked(context=8192, n_cpu_moe=48, max_num_batched_tokens=n)) for n in (1024, 2048))
    assert small.seconds_to_first_token
    assert large.seconds_to_first_token
    assert small.seconds_to_first_token == pytest.approx(2 * large.seconds_to_first_token, rel=0.01)
    without = speed(asked(context=8192))
    assert without.seconds_to_first_token
    assert without.seconds_to_first_token < large.seconds_to_first_token / 2


def test_a_short_prompt_stays_on_the_cpu() -> None:
    found = speed(asked(context=16, n_cpu_moe=48))
    assert found.seconds_to_first_token is not None
    faster = speed(asked(card=with_host_memory(CARD, 160), context=16, n_cpu_moe=48))
    assert faster.seconds_to_first_token == pytest.approx(found.seconds_to_first_token / 2, rel=0.01)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "transformers", "deepspeed"])
def test_a_dense_model_moves_all_that_is_offloaded(engine: str) -> None:
    found = speed(asked(DENSE, engine=engine, quant="bf16", cpu_offload_bytes=4 * GIB))
    assert found.host_link_bytes_per_token == 4 * GIB
    assert found.host_read_bytes_per_token == 0
    assert found.tokens_per_second == pytest.approx(CARD.host_bytes_per_second / (4 * GIB), rel=0.2)


def test_kernels_that_read_over_the_link_touch_selected_experts_alone() -> None:
    """vLLM's UVA views; SGLang copies a layer's parameters whole. The first layers leave: attention, then experts."""
    options = {"quant": "bf16", "cpu_offload_bytes": 20 * GIB}
    touching, whole = (speed(asked(engine=engine, **options)) for engine in ("vllm", "sglang"))
    assert whole.host_link_bytes_per_token == 20 * GIB
    assert 20 * GIB * 8 / 128 < touching.host_link_bytes_per_token < 20 * GIB / 8
    at_once = speed(asked(engine="vllm", concurrency=16, context=512, **options))
    assert at_once.host_link_bytes_per_token * 16 > 5 * touching.host_link_bytes_per_token


def test_what_crosses_is_not_read_from_the_card_as_well() -> None:
    options = {"engine": "vllm", "quant": "bf16"}
    plain, moved = (speed(asked(DENSE, **options, cpu_offload_bytes=n)) for n in (0, 4 * GIB))
    assert plain.read_bytes - moved.read_bytes == 4 * GIB


def test_links_of_several_gpus_share_one_memory() -> None:
    options = {"engine": "vllm", "quant": "bf16", "gpus": 4, "cpu_offload_bytes": GIB}
    shared, alone = (
        speed(asked(DENSE, card=with_host_memory(load_gpu("RTX 4090"), rate), **options)) for rate in (50, 1e6)
    )
    assert shared.tokens_per_second
    assert alone.tokens_per_second
    assert shared.seconds_per_token - alone.seconds_per_token == pytest.approx(
        4 * GIB / 50e9 - GIB / CARD.host_bytes_per_second, rel=0.01
    )


def test_every_engine_that_offloads_says_how() -> None:
    for engine in ENGINES:
        try:
            question = asked(DENSE, engine=engine, quant="bf16", cpu_offload_bytes=GIB)
            evaluate(question)
        except MoesizeError:
            continue
        assert streaming_of(engine).source.startswith("https://")


@pytest.mark.parametrize(
    ("model", "gpu", "gpus", "option"),
    [
        ("mixtral-8x7b", "A10G", 1, "n_cpu_moe"),
        ("qwen3-235b-a22b", "RTX 4090", 2, "n_cpu_moe"),
        ("llama-3.3-70b", "RTX 4090", 1, "n_gpu_layers"),
    ],
)
def test_the_advice_keeps_as_many_layers_as_fit(model: str, gpu: str, gpus: int, option: str) -> None:
    question = asked(load_model(model, offline=True), card=with_host_memory(load_gpu(gpu), 80), gpus=gpus)
    flag = "--" + option.replace("_", "-")
    found = next(s for s in suggestions_for(question, evaluate(question)) if s.option.startswith(flag))
    value = int(found.option.split()[1])
    kept = [
        evaluate(replace(question, options=replace(question.options, **{option: n}))).judgement.verdict
        for n in (value, value + (1 if option == "n_gpu_layers" else -1))
    ]
    assert found.verdict == kept[0] == "fits"
    assert kept[1] != "fits"
    assert "tokens/s, by host memory" in found.note


def test_advice_without_a_known_bandwidth_gives_bytes_instead_of_a_speed() -> None:
    question = asked(load_model("mixtral-8x7b", offline=True), card=load_gpu("A10G"))
    found = next(s for s in suggestions_for(question, evaluate(question)) if "--n-cpu-moe" in s.option)
    assert "tokens/s" not in found.note
    assert "GiB in host memory" in found.note


@pytest.mark.parametrize(
    ("written", "rate"),
    [("89.6", 89.6e9), (89.6, 89.6e9), ("2xDDR5-5600", 89.6e9), ("12 x ddr5-4800", 460.8e9), ("204.8 GB/s", 204.8e9)],
)
def test_host_bandwidth_is_read_as_users_write_it(written: str | float, rate: float) -> None:
    assert host_memory_bytes_per_second(written) == pytest.approx(rate)


@pytest.mark.parametrize("written", ["fast", "0", "-5", "2xLPDDR5-8000", "nan", "inf", "DDR5-5600", "0xDDR5-5600", ""])
def test_what_is_no_bandwidth_is_refused(written: str) -> None:
    with pytest.raises(InputError, match="--host-bandwidth"):
        host_memory_bytes_per_second(written)
