"""SGLang's own choices and public logs."""

import pytest

from moesize.engines.base import EngineOptions, EnginePlan
from moesize.engines.sglang.static import prefill_graph_sizes
from moesize.errors import InputError
from moesize.hardware.gpu import load_gpu
from moesize.memory.layout import LayoutError
from moesize.model.loader import load_model
from moesize.question import Evaluation, evaluate
from moesize.sizing import ask
from moesize.units import GIB


def answer(model: str, gpu: str = "H100-SXM", version: str | None = None, **kwargs) -> Evaluation:
    names = ("gpu_memory_utilization", "max_num_batched_tokens", "enforce_eager", "n_cpu_moe", "cpu_offload_bytes")
    options = EngineOptions(**{k: kwargs.pop(k) for k in names if k in kwargs})
    spec = load_model(model, offline=True)
    return evaluate(ask(spec, load_gpu(gpu), engine="sglang", engine_version=version, options=options, **kwargs))


def plan(model: str, gpu: str = "H100-SXM", **kwargs) -> EnginePlan:
    return answer(model, gpu, **kwargs).plan


@pytest.mark.parametrize(
    ("gpu", "version", "fraction", "chunk"),
    [
        # worked by hand from SGLang's rule: (smi − (512 + 1.5 chunk + 128 + 2 graphs)) / smi
        ("A10G", "0.5.5", 0.701, 4096),
        ("H100-SXM", "0.5.5", 0.835, 8192),
        # 58 prefill graphs of 8 MiB more; a public H100 log subtracts 0.170 of what was free
        ("H100-SXM", "0.5.23", 0.830, 8192),
    ],
)
def test_mem_fraction_static(gpu: str, version: str, fraction: float, chunk: int) -> None:
    found = plan("llama-3.1-8b", gpu, version=version)
    assert found.gpu_memory_utilization == fraction
    assert found.max_num_batched_tokens == chunk


@pytest.mark.parametrize(("longest", "sizes"), [(2048, 42), (4096, 50), (8192, 58), (16384, 74)])
def test_prefill_graph_sizes(longest: int, sizes: int) -> None:
    assert prefill_graph_sizes(longest) == sizes


def test_pool_tokens_match_what_the_bytes_hold() -> None:
    found = plan("qwen3-30b-a3b", gpu_memory_utilization=0.85)
    assert found.pool is not None
    per_token = 48 * 2 * 4 * 128 * 2
    assert found.pool.tokens == found.pool.n_bytes // per_token


def test_fp8_cache_holds_twice_the_tokens() -> None:
    wide, narrow = (plan("llama-3.1-8b", kv_dtype=kv).pool for kv in ("bf16", "fp8"))
    assert wide is not None
    assert narrow is not None
    assert narrow.tokens == pytest.approx(2 * wide.tokens, rel=1e-4)


def test_latent_cache_is_whole_on_every_rank() -> None:
    """Kimi-K2.5: 2,454,421 tokens took 160.63 GiB on each of 8 ranks."""
    found = plan("kimi-k2.5", "MI355X", tp=8, gpu_memory_utilization=0.84).pool
    assert found is not None
    assert 2_454_421 * found.n_bytes / found.tokens / GIB == pytest.approx(160.63, abs=0.01)


def test_sliding_layers_keep_four_fifths_of_the_tokens() -> None:
    """https://github.com/sostrowsk/dgx-spark-local-llm: 148717 of 185897 tokens."""
    found = plan("laguna-s-2.1", "GB10", quant="w4a16", kv_dtype="bf16").pool
    spec = load_model("laguna-s-2.1", offline=True)
    assert found is not None
    layers = {
        bool(c.window_tokens): len(c.layers) * c.num_kv_heads * (c.key_dim + c.value_dim) * 2 for c in spec.caches
    }
    assert found.n_bytes / found.tokens == pytest.approx(layers[False] + 0.8 * layers[True], rel=1e-3)


def test_attention_dp_spreads_experts_and_copies_attention() -> None:
    """https://github.com/sgl-project/sglang/pull/17392: 16.39 GiB a rank, 94.24 GiB for 1,029,388 tokens."""
    found = answer("qwen3-30b-a3b", "H200", dp=4, ep=True)
    pool = found.plan.pool
    assert pool is not None
    assert found.totals.weights / GIB == pytest.approx(16.39, rel=0.01)
    assert 1_029_388 * pool.n_bytes / pool.tokens / GIB == pytest.approx(94.24, abs=0.01)


def test_what_runs_beside_the_static_share_is_outside_the_budget() -> None:
    found = plan("llama-3.1-8b")
    outside = {term.term for term in found.terms if not term.in_budget}
    assert outside == {"CUDA context (rest)", "activations", "CUDA graphs"}
    assert "CUDA graphs" not in {term.term for term in plan("llama-3.1-8b", enforce_eager=True).terms}


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"version": "0.9"}, "newest known is 0.5.23"),
        ({"version": "0.1"}, "too old"),
        ({"gpu_memory_utilization": 1.5}, "1.5"),
        ({"n_cpu_moe": 3}, "n-cpu-moe"),
        ({"kv_dtype": "q8_0"}, "sglang has no q8_0"),
        ({"dp": 2}, "--ep"),
        ({"tp": 3}, "do not divide"),
    ],
)
def test_refusals_say_why(kwargs: dict, says: str) -> None:
    with pytest.raises((InputError, LayoutError), match=says):
        plan("mixtral-8x7b", **kwargs)
