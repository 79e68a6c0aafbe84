"""llama.cpp against what it printed in public logs, and its refusals. Figures and sources: validation/data/runtime.yaml."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesize.engines.base import EngineOptions, EnginePlan
from moesize.engines.llama_cpp.placement import place
from moesize.errors import InputError, UnknownNameError
from moesize.hardware.gpu import load_gpu
from moesize.memory.layout import LayoutError
from moesize.model.loader import load_model
from moesize.question import evaluate
from moesize.sizing import ask
from moesize.units import GIB, MIB


def plan(
    model: str, *, engine: str = "llama.cpp", gpu: str = "1000GiB", version: str | None = None, **kwargs
) -> EnginePlan:
    options = {k: kwargs.pop(k) for k in ("n_gpu_layers", "n_cpu_moe", "flash_attention", "max_num_seqs",
               "max_num_batched_tokens", "cpu_offload_bytes", "gpu_memory_utilization") if k in kwargs}  # fmt: skip
    spec = load_model(model, offline=True)
    question = ask(
        spec, load_gpu(gpu), engine=engine, engine_version=version, options=EngineOptions(**options), **kwargs
    )
    return evaluate(question).plan


def logged(found: EnginePlan, what: str) -> list[float]:
    """MiB of one kind of buffer, GPU by GPU."""
    return [float(x.split("=")[1].split()[0]) for x in found.log_lines if f"{what} buffer size" in x and "CUDA" in x]


def test_llama_3_8b_on_four_cards_is_what_llama_cpp_printed() -> None:
    """https://github.com/XiongjieDai/GPU-Benchmarks-on-LLM-Inference, 3090_4_v3.ipynb"""
    found = plan("llama-3-8b", version="b2849", quant="q4_k_m", context=8192, gpus=4, flash_attention=False)
    assert logged(found, "model") == pytest.approx([1130.62, 982.66, 982.66, 1307.55], abs=0.2)
    assert logged(found, "KV") == [288.0, 256.0, 256.0, 224.0]
    assert logged(found, "compute") == pytest.approx([640.0] * 4, abs=0.1)


def test_single_card_compute_buffer_without_flash_attention() -> None:
    found = plan("llama-3-8b", version="b2849", quant="q4_k_m", context=8192, flash_attention=False)
    assert logged(found, "compute") == [560.0]
    assert logged(found, "model") == pytest.approx([4403.49], abs=0.2)


def test_input_embedding_stays_on_the_host() -> None:
    """token_embd of gpt-oss-20b, 586.82 MiB in q8_0: https://github.com/ggml-org/llama.cpp/issues/15253"""
    found = plan("gpt-oss-20b", quant="mxfp4_moe", context=4096)
    assert found.host_bytes / MIB == pytest.approx(586.82, abs=0.01)
    assert logged(found, "model") == pytest.approx([10949.38], rel=0.001)


def test_tied_models_keep_a_copy_of_the_table_on_the_gpu() -> None:
    found = plan("gemma-2-2b", quant="q8_0", context=4096)
    table = 256000 * 2304 * 34 // 32
    whole = sum(t.n_bytes for t in found.terms if t.category == "weights")
    assert found.host_bytes == table
    assert whole > table


@pytest.mark.parametrize(
    ("slots", "cells"),
    [(1, 768), (None, 1024), (4, 3072)],
    ids=["one slot", "the default four, sharing", "four slots apart"],
)
def test_sliding_windows_keep_a_window_per_slot(slots: int | None, cells: int) -> None:
    """gpt-oss-20b at 131072: 12 layers of the whole context and 12 of 128 · slots + 512 cells, padded to 256.

    Slots, not context, set the windows' size.
    """
    found = plan("gpt-oss-20b", quant="mxfp4_moe", context=131072, max_num_seqs=slots)
    cell = 2 * 512 * 2 * 12 / MIB
    assert logged(found, "KV") == [131072 * cell + cells * cell]


@pytest.mark.parametrize(("kv", "mib"), [("f16", 6016.0), ("q8_0", 3196.0), ("q4_0", 1692.0)])
def test_qwen3_235b_cache_as_logged(kv: str, mib: float) -> None:
    found = plan("qwen3-235b-a22b", quant="q4_k_m", context=32768, kv_dtype=kv)
    assert logged(found, "KV") == [mib]


@pytest.mark.parametrize(
    ("version", "mib"), [("b9525", 1098.0), ("b5300", 2074.0)], ids=["latent alone", "latent as key and value"]
)
def test_mla_cache_by_build(version: str, mib: float) -> None:
    """https://github.com/ggml-org/llama.cpp/pull/19067 and https://github.com/ikawrakow/ik_llama.cpp/pull/394"""
    found = plan("deepseek-v3", quant="q4_k_m", context=16384, version=version)
    assert logged(found, "KV") == [mib]


def test_deepseek_v2_whole_heads_before_mla() -> None:
    """A full context of DeepSeek-V2: llama.cpp asked for 805306368032 bytes."""
    found = plan("deepseek-v2", quant="q4_k_m", context=163840, version="b4000")
    assert logged(found, "KV") == [805306368000 / MIB]


def test_quantised_values_need_flash_attention() -> None:
    with pytest.raises(InputError, match="flash attention"):
        plan("llama-3.1-8b", quant="q4_k_m", kv_dtype="q8_0", flash_attention=False)
    plan("llama-3.1-8b", quant="q4_k_m", kv_dtype="q8_0/f16", flash_attention=False)


def test_context_is_padded() -> None:
    assert logged(plan("llama-3.1-8b", quant="q4_k_m", context=1000), "KV") == [1024 * 128 / 1024]


def test_experts_in_host_memory_leave_the_gpu_and_are_counted() -> None:
    on_gpu = plan("qwen3-30b-a3b", quant="q4_k_m", context=8192)
    moved = plan("qwen3-30b-a3b", quant="q4_k_m", context=8192, n_cpu_moe=20)
    shift = sum(logged(on_gpu, "model")) - sum(logged(moved, "model"))
    assert (moved.host_bytes - on_gpu.host_bytes) / MIB == pytest.approx(shift, abs=0.02)
    # 8 of 128 experts a token
    assert moved.host_read_bytes_per_token == pytest.approx(shift * MIB / 16, rel=1e-6)


def test_all_expert_layers_moved_is_no_more_than_moving_every_layer() -> None:
    everything = plan("qwen3-30b-a3b", quant="q4_k_m", n_cpu_moe=999)
    assert sum(logged(everything, "model")) == pytest.approx(
        784.42, rel=0.003
    )  # llama.cpp's own line for `-ot exps=CPU`


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"quant": "awq"}, "GGUF"),
        ({"quant": "q4_k_m", "tp": 2}, "whole layers"),
        ({"quant": "q4_k_m", "dp": 2}, "several servers"),
        ({"quant": "q4_k_m", "gpu_memory_utilization": 0.9}, "gpu-memory-utilization"),
        ({"quant": "q4_k_m", "cpu_offload_bytes": GIB}, "--n-cpu-moe"),
        ({"quant": "q4_k_m", "n_cpu_moe": -1}, "-1"),
        ({"quant": "q4_k_m", "version": "b12"}, "too old"),
        ({"quant": "q4_k_m", "version": "new"}, "no version of llama.cpp"),
        ({"quant": "q4_k_m", "kv_dtype": "fp8"}, "llama.cpp has no fp8"),
        ({"quant": "q4_k_m", "concurrency": 8, "max_num_seqs": 2}, "2 slots"),
        ({"quant": "q4_k_m", "gpus": 64}, "64 GPUs"),
    ],
)
def test_refusals_say_why(kwargs: dict, says: str) -> None:
    with pytest.raises((InputError, LayoutError, UnknownNameError), match=says):
        plan("mixtral-8x7b", **kwargs)


def test_ollama_takes_its_own_defaults() -> None:
    found = plan("llama-3.1-8b", engine="ollama", quant="q4_k_m", context=8192)
    assert found.max_num_seqs == 1
    assert any(term.n_bytes == 457 * MIB for term in found.terms)
    assert "not measured" in found.notes[-1]


@given(
    layers=st.integers(1, 120),
    gpus=st.integers(1, 16),
    offered=st.none() | st.integers(0, 200),
    moe=st.integers(0, 200),
)
@settings(max_examples=60, deadline=None)
def test_every_layer_lies_somewhere_once(layers: int, gpus: int, offered: int | None, moe: int) -> None:
    found = place(layers, gpus, offered, moe)
    everywhere = [*found.host_layers, *(i for device in found.devices for i in device.layers)]
    assert sorted(everywhere) == list(range(layers))
    assert sum(device.output for device in found.devices) == (0 if offered == 0 else 1)
    assert everywhere == sorted(everywhere)
