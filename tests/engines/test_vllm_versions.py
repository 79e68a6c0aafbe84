import pytest

from moesize.engines.base import EngineOptions
from moesize.errors import InputError
from moesize.hardware.gpu import load_gpu
from moesize.memory.layout import LayoutError
from moesize.model.loader import load_model
from moesize.model.spec import Role
from moesize.question import evaluate
from moesize.sizing import ask
from moesize.units import GIB


def plan(model, gpu, *, options=None, **asked):
    spec = load_model(model, offline=True)
    return evaluate(ask(spec, load_gpu(gpu), options=options or EngineOptions(), **asked)).plan


def term(found, name):
    return sum(t.n_bytes for t in found.terms if t.term == name)


def test_defaults_follow_version_and_card():
    assert plan("llama-3.1-8b", "H100-SXM", engine_version="0.10.0").gpu_memory_utilization == 0.9
    assert plan("llama-3.1-8b", "H100-SXM", engine_version="0.33.0").gpu_memory_utilization == 0.92
    assert plan("llama-3.1-8b", "H100-SXM").max_num_batched_tokens == 8192
    assert plan("llama-3.1-8b", "A100-80GB").max_num_seqs == 256
    assert plan("llama-3.1-8b", "B200").max_num_batched_tokens == 16384


def test_versions_outside_what_is_known_are_refused():
    for version, words in (("0.2.5", "too old"), ("0.99", "not known yet"), ("latest", "no vLLM version")):
        with pytest.raises(InputError, match=words):
            plan("llama-3.1-8b", "A10G", engine_version=version)


def test_whole_prompts_made_old_activations_grow_with_the_context():
    short = term(plan("llama-3.1-8b", "RTX 3090", engine_version="0.6.4", context=20000), "activations")
    long = term(plan("llama-3.1-8b", "RTX 3090", engine_version="0.6.4", context=29000), "activations")
    chunked = term(plan("llama-3.1-8b", "RTX 3090", engine_version="0.6.4", context=40000), "activations")
    # printed in https://github.com/vllm-project/vllm/issues/10517: 2.07 and 2.99 GiB
    assert short / GIB == pytest.approx(2.07, abs=0.1)
    assert long / GIB == pytest.approx(2.99, abs=0.1)
    assert chunked < short


def test_mla_was_cached_as_whole_heads_before_it_was_known():
    pool = {v: plan("deepseek-v2-lite", "A100-80GB", engine_version=v, context=8192).pool for v in ("0.6.6", "0.7.1")}
    # 16 heads × (256 + 256) × 2 B × 27 layers against 576 × 2 B × 27
    assert pool["0.6.6"].needed_bytes / pool["0.7.1"].needed_bytes == pytest.approx(16 * 512 / 576, rel=0.01)


def test_graphs_leave_the_budget_only_when_they_are_estimated():
    early = plan("llama-3.1-8b", "A100-80GB", engine_version="0.10.0")
    late = plan("llama-3.1-8b", "A100-80GB", engine_version="0.33.0")
    eager = plan("llama-3.1-8b", "A100-80GB", options=EngineOptions(enforce_eager=True))
    assert [t.in_budget for t in early.terms if t.term == "CUDA graphs"] == [False]
    assert [t.in_budget for t in late.terms if t.term == "CUDA graphs"] == [True]
    assert term(eager, "CUDA graphs") == 0


def test_pool_given_in_bytes_is_taken_as_it_is():
    found = plan("llama-3.1-8b", "H100-SXM", options=EngineOptions(kv_cache_memory_bytes=10 * GIB))
    assert found.pool.n_bytes == 10 * GIB // (16 * 131072) * 16 * 131072
    over = plan("llama-3.1-8b", "A10G", options=EngineOptions(kv_cache_memory_bytes=10 * GIB))
    assert any("runs out of memory" in note for note in over.notes)


def test_predicted_lines_use_the_words_of_the_version():
    refused = plan("llama-3.1-8b", "RTX 3090", engine_version="0.10.0", context=131072).log_lines[-1]
    assert "To serve at least one request" in refused
    assert "estimated maximum model length is" in refused
    old = plan("llama-3.1-8b", "RTX 3090", engine_version="0.6.4", context=60000).log_lines[-1]
    assert "larger than the maximum number of tokens that can be stored in KV cache" in old


def test_printed_tokens_of_sliding_models_changed_in_0_21():
    def printed(version):
        found = plan(
            "gpt-oss-20b",
            "H100-SXM",
            engine_version=version,
            context=131072,
            options=EngineOptions(gpu_memory_utilization=0.9),
        )
        return next(int(x.split(": ")[1].split()[0].replace(",", "")) for x in found.log_lines if "KV cache size" in x)

    assert printed("0.21.0") > 1.5 * printed("0.18.0")


@pytest.mark.parametrize(
    ("model", "words", "asked"),
    [
        ("qwen2.5-7b", "attention heads", {"tp": 3}),
        ("llama-3.1-8b", "attention heads", {"tp": 64}),
        ("qwen3-235b-a22b-fp8", "block_n = 128", {"tp": 8, "engine_version": "0.10.0"}),
        ("qwen3-next-80b-a3b", "block_n = 128", {"tp": 8, "quant": "fp8-block"}),
    ],
)
def test_layouts_the_engine_refuses_are_refused_with_its_reason(model, words, asked):
    with pytest.raises(LayoutError, match=words):
        plan(model, "H100-SXM", **asked)


def test_unmeasured_territory_is_said_and_widens_the_interval():
    known = plan("llama-3.1-8b", "H100-SXM", engine_version="0.19.0")
    newer = plan("llama-3.1-8b", "H100-SXM", engine_version="0.30.0")
    # one A100 has been measured up to 0.31, one H100 up to 0.27
    elsewhere = plan("llama-3.1-8b", "A100-80GB", engine_version="0.30.0")
    assert not any("no public measurement" in note for note in (*known.notes, *elsewhere.notes))
    assert any("no public measurement" in note for note in newer.notes)

    def spread(found):
        one = next(t for t in found.terms if t.term == "outside torch")
        return one.high_bytes - one.low_bytes

    assert spread(newer) > spread(known)


def test_float32_checkpoints_are_served_in_sixteen_bits():
    spec = load_model("gemma-2-9b", offline=True)
    found = ask(spec, load_gpu("H100-SXM"))
    assert found.scheme.dtype == "bfloat16"
    assert found.kv.name == "bfloat16"
    assert ask(spec, load_gpu("H100-SXM"), quant="fp32").kv.name == "float32"


def test_redundant_experts_take_their_share():
    base = plan("qwen3-30b-a3b", "H100-SXM", tp=4, ep=True)
    more = plan("qwen3-30b-a3b", "H100-SXM", tp=4, ep=True, options=EngineOptions(redundant_experts=32))
    assert term(more, "routed_expert") == term(base, "routed_expert") * (128 + 32) // 128


def test_the_profile_run_encodes_the_largest_image():
    # one image of 65,536 patches, whatever a step holds: fc1's output and its activation beside two hidden rows and the pixels
    few = {"max_num_seqs": 1, "max_num_batched_tokens": 2048}
    found = plan("qwen3.6-35b-a3b", "RTX 5090", engine_version="0.24.0", options=EngineOptions(**few))
    alone = EngineOptions(**few, language_model_only=True)
    text = plan("qwen3.6-35b-a3b", "RTX 5090", engine_version="0.24.0", options=alone)
    encoder = 65536 * 2 * (2 * 1152 + 2 * 4304 + 3 * 2 * 16 * 16)
    assert term(found, "activations") == pytest.approx(encoder, rel=0.05)
    assert term(text, "activations") < GIB


def test_towers_are_left_out_on_request():
    def weights(options):
        found = plan("qwen3.6-35b-a3b", "H200", engine_version="0.19.2", options=options).terms
        return sum(t.n_bytes for t in found if t.category == "weights")

    spec = load_model("qwen3.6-35b-a3b", offline=True)
    tower = sum(t.parameters for t in spec.tensors if t.role is Role.VISION and t.loaded) * 2
    assert weights(EngineOptions()) - weights(EngineOptions(language_model_only=True)) == pytest.approx(tower, rel=0.02)
    # printed in https://github.com/djangodevreng/dgx-spark-benchmarks (qwen3.6-35b-a3b/bf16): 64.69 GiB
    assert weights(EngineOptions(language_model_only=True)) / GIB == pytest.approx(64.69, rel=0.002)


def test_the_second_runner_came_family_by_family():
    def kept(model, version):
        return term(plan(model, "H200", engine_version=version), "sampler state") > 0

    assert [kept("qwen3-8b", v) for v in ("0.21.0", "0.22.0", "0.25.0", "0.33.0")] == [False, True, True, True]
    assert [kept("llama-3.1-8b", v) for v in ("0.22.0", "0.23.0", "0.25.0")] == [False, True, True]
    assert [kept("qwen3-30b-a3b", v) for v in ("0.26.0", "0.28.0", "0.29.0")] == [False, False, True]
    assert [kept("qwen3.5-9b", v) for v in ("0.26.0", "0.29.0")] == [False, True]


def test_the_first_engine_sampled_as_the_second_did():
    # printed with 256 sequences and a vocabulary of 152k by 0.6.6 and 0.7.3 (validation/data/vllm_logs_2.yaml)
    small = term(plan("qwen2.5-1.5b", "L40S", engine_version="0.6.6", context=4096), "activations")
    large = term(plan("qwen2.5-14b", "A100-40GB", engine_version="0.7.3", context=8192), "activations")
    assert small / GIB == pytest.approx(1.40, abs=0.05)
    assert large / GIB == pytest.approx(1.49, abs=0.05)


def test_gpt_oss_lay_as_marlin_pads_it_before_triton_kernels():
    loaded = {
        v: sum(t.n_bytes for t in plan("gpt-oss-120b", "H100-SXM", engine_version=v).terms if t.category == "weights")
        for v in ("0.10.1", "0.11.0")
    }
    # printed in https://github.com/vllm-project/vllm/issues/23278
    assert loaded["0.10.1"] / GIB == pytest.approx(65.97, abs=0.05)
    assert (loaded["0.10.1"] - loaded["0.11.0"]) / GIB == pytest.approx(1.35, abs=0.05)


def test_graphs_grow_with_the_sizes_they_are_captured_for():
    found = {n: plan("llama-3.1-8b", "H100-SXM", options=EngineOptions(max_num_seqs=n)) for n in (8, 256)}
    few, many = (term(found[n], "CUDA graphs") for n in (8, 256))
    assert many / few == pytest.approx(51 / 5, rel=0.01)  # 1, 2, 4, 8, 16 against 51 sizes


def test_a_card_of_its_own_kind_stands_in_before_hopper_for_ranks_that_communicate():
    from moesize.engines.vllm.calibrated import nearest  # noqa: PLC0415

    entries = [
        {"since": "0.17", "gpu": "other", "layout": "tensor"},
        {"since": "0.8", "gpu": "hopper", "layout": "tensor"},
        {"since": "0.8", "gpu": "other", "layout": "alone"},
    ]
    assert nearest(entries, "0.8", ("other", "tensor")) == entries[0]


def test_deepseek_v4_packs_windows_compressed_entries_and_states_as_printed():
    # https://github.com/tc3oliver/deepseek-v4-flash-mi300x: 20 GB by hand, steps of 2,048 tokens
    options = EngineOptions(max_num_batched_tokens=2048, kv_cache_memory_bytes=20_000_000_000)
    asked = {"kv_dtype": "fp8", "engine_version": "0.26.1", "context": 262_144}
    found = plan("deepseek-v4-flash", "MI300X", options=options, **asked)
    assert "GPU KV cache size: 1,927,444 tokens" in found.log_lines
    assert "Maximum concurrency for 262,144 tokens per request: 7.35x" in found.log_lines
    # https://github.com/vllm-project/vllm/issues/44376: the offline class on two GH200, 0.2x
    options = EngineOptions(max_num_batched_tokens=16384, kv_cache_memory_bytes=round(5.44 * GIB))
    asked = {"kv_dtype": "fp8", "engine_version": "0.22.0", "context": 30_000, "tp": 2, "ep": True}
    refusal = plan("deepseek-v4-flash", "H100-SXM", options=options, **asked).log_lines[-1]
    assert "6.66 GiB KV cache is needed" in refusal
    assert "estimated maximum model length is 1352" in refusal  # 13528 printed; the pool is known to 0.01 GiB


def test_deepseek_v4_keeps_its_cache_in_the_one_layout_its_kernels_have():
    found = plan("deepseek-v4-pro", "B200", tp=8)
    layers = load_model("deepseek-v4-pro", offline=True).num_layers
    assert found.pool.bytes_per_token_in_window > 584 * layers
    with pytest.raises(InputError, match="no layout for a latent of 512"):
        plan("deepseek-v4-pro", "B200", tp=8, kv_dtype="nvfp4_ds_mla")
