"""The profile run's parts that sources settle: which runner samples how, and what encoding leaves behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesize.engines.base import EngineOptions
from moesize.engines.vllm.constants import rules_for
from moesize.engines.vllm.sampler import sampler_bytes
from moesize.errors import InputError
from moesize.hardware.gpu import load_gpu
from moesize.model.loader import load_model
from moesize.question import evaluate
from moesize.sizing import ask
from moesize.units import GIB
from validation.exact import request_of


def question(model, gpu, *, options=None, **asked):
    return ask(load_model(model, offline=True), load_gpu(gpu), options=options or EngineOptions(), **asked)


def plan(model, gpu, **asked):
    return evaluate(question(model, gpu, **asked)).plan


def term(found, name):
    return next((t for t in found.terms if t.term == name), None)


def per_logit(gpu, version, *, tp=1, options=None, model="qwen3-8b"):
    """Bytes of the sampler per sequence and vocabulary row: low, nominal, high."""
    request = request_of(question(model, gpu, engine_version=version, tp=tp, options=options))
    found = sampler_bytes(request, 256, rules_for(version))
    return tuple(n / 256 / request.spec.vocab_size for n in found)


def test_the_second_runner_samples_without_processing_until_0_33():
    # a float32 copy, the logits alone, and then a pass with top-k and top-p
    assert per_logit("A100-80GB", "0.22.0") == (6, 6, 6)
    assert per_logit("A100-80GB", "0.30.0") == (2, 2, 2)
    assert per_logit("A100-80GB", "0.33.0") == (6, 14, 14)


def test_vllms_own_sampler_masks_in_a_row_per_multiprocessor():
    # of 256 sequences on 40, 108 and 132 multiprocessors
    for card, rows in (("T4", 40), ("A100-80GB", 108), ("H100-SXM", 132)):
        kept = rows * 4 / 256
        assert per_logit(card, "0.19.0") == pytest.approx((14 + kept,) * 3)
        off = per_logit(card, "0.33.0", options=EngineOptions(flashinfer_sampler=False))
        assert off == pytest.approx((6 + kept,) * 3)
    # FlashInfer's has been the default since 0.21, and does not take Turing since 0.26
    assert per_logit("A100-80GB", "0.21.0")[:2] == (14, 14)
    assert per_logit("T4", "0.33.0") == pytest.approx((6 + 40 * 4 / 256,) * 3)
    low, nominal, high = per_logit("MI300X", "0.33.0")
    assert 6 < low < nominal < high


def test_the_activation_peaks_of_a_campaign_leave_the_same_rest():
    # printed by 0.19.0 on one H100 (validation/data/vllm_h100_019.yaml); what is left is cuBLAS' workspace
    printed = {"llama-3.1-8b": 1.89, "qwen2.5-7b": 2.21, "gemma-2-9b": 3.65, "gemma-3-4b": 3.89, "phi-4": 1.52}
    rest = []
    for model, gib in printed.items():
        found = term(plan(model, "H100-SXM", engine_version="0.19.0", context=8192), "activations")
        rest.append(gib - found.n_bytes / GIB)
    assert max(rest) - min(rest) < 0.03


def test_flashinfer_spares_the_sort_of_older_versions():
    unknown = per_logit("A100-80GB", "0.10.1")
    with_it = per_logit("A100-80GB", "0.10.1", options=EngineOptions(flashinfer_sampler=True))
    without = per_logit("A100-80GB", "0.10.1", options=EngineOptions(flashinfer_sampler=False))
    assert with_it == pytest.approx((14, 14, 14))
    assert unknown[0] == pytest.approx(14)
    assert without[0] > 14
    assert without[1:] == unknown[1:]
    # logged with FlashInfer's sampler (github.com/dennislee22/vLLM-benchmarking): 5.01 GiB are left of a quarter of the card
    found = plan(
        "qwen2-7b",
        "nvidia-a100-sxm4-80gb",
        engine_version="0.10.1",
        context=16384,
        options=EngineOptions(max_num_batched_tokens=2048, gpu_memory_utilization=0.25, flashinfer_sampler=True),
    )
    assert found.pool.n_bytes / GIB == pytest.approx(5.01, abs=0.06)


def test_other_engines_do_not_know_the_sampler():
    with pytest.raises(InputError, match="flashinfer-sampler"):
        plan("qwen3-8b", "A100-80GB", engine="sglang", options=EngineOptions(flashinfer_sampler=True))


@given(st.sampled_from([2, 4, 8]), st.sampled_from(["0.22.0", "0.30.0", "0.33.0"]))
def test_ranks_gather_logits_into_a_copy(tp, version):
    alone, ranks = per_logit("A100-80GB", version), per_logit("A100-80GB", version, tp=tp)
    gathered = 2 * (2 + 1 / tp)
    assert ranks == pytest.approx(tuple(max(n, gathered) for n in alone), rel=1e-6)


def test_what_the_second_runner_keeps_counts_where_free_memory_is_measured():
    before, after = (
        term(plan("qwen3-8b", "A100-80GB", engine_version=v), "sampler state") for v in ("0.26.0", "0.27.0")
    )
    assert before.n_bytes == after.n_bytes > 0
    assert (before.in_budget, after.in_budget) == (False, True)


def test_the_pool_of_a_card_without_flashinfer_is_what_a_server_printed():
    # github.com/trietnguyeminh, two T4 under 0.22.0: 4.11 GiB; the ranks' buffers are all that is calibrated
    found = plan(
        "qwen3-8b",
        "T4",
        engine_version="0.22.0",
        tp=2,
        context=8192,
        options=EngineOptions(max_num_batched_tokens=8192, gpu_memory_utilization=0.85, enforce_eager=True),
    )
    spent = sum(t.n_bytes for t in found.terms if t.in_budget and t.term != "outside torch")
    left = (found.budget_bytes - spent) / GIB - 4.11
    assert 0 < left < 0.4


def activations(model, gpu, version, tokens, seqs, context, **asked):
    options = EngineOptions(
        max_num_batched_tokens=tokens, max_num_seqs=seqs, language_model_only=asked.pop("blind", False)
    )
    return term(
        plan(model, gpu, engine_version=version, context=context, options=options, **asked), "activations"
    ).n_bytes


def test_embeddings_and_inputs_of_images_stay_while_the_model_runs():
    seen = activations("gemma-3-4b", "H100-SXM", "0.19.0", 8192, 1024, 8192)
    blind = activations("gemma-3-4b", "H100-SXM", "0.19.0", 8192, 1024, 8192, blind=True)
    images = 8192 // 256
    assert seen - blind == images * (256 * 2560 + 3 * 896 * 896) * 2
    # the second runner lets go of the inputs
    seen = activations("gemma-3-4b", "H100-SXM", "0.30.0", 8192, 512, 8192)
    blind = activations("gemma-3-4b", "H100-SXM", "0.30.0", 8192, 512, 8192, blind=True)
    assert seen > blind


def test_the_first_versions_padded_every_image_to_the_whole_budget():
    # https://github.com/GoogleCloudPlatform/kubernetes-engine-samples (gemma3-27b-it on B200, 0.11.2): 88.51 GiB are left
    options = EngineOptions(max_num_batched_tokens=16384, gpu_memory_utilization=0.9)
    found = plan("gemma-3-27b", "B200", engine_version="0.11.2", context=32768, options=options)
    assert found.pool.n_bytes / GIB == pytest.approx(88.51, abs=0.2)
    padded = activations("gemma-3-27b", "B200", "0.11.2", 16384, 1024, 32768)
    later = activations("gemma-3-27b", "B200", "0.13.0", 16384, 1024, 32768)
    images = 16384 // 256
    # the last item's own rows are still held beside their padded copy
    assert padded - later == (images * (16384 - 256) + 256) * 5376 * 2


def test_a_video_counted_for_more_tokens_than_it_has():
    # printed by 0.12.0 on two H100 (github.com/Zzsf11/VideoCuttingAgent): 37.23 and 38.15 GiB with 256 and 64 sequences
    for seqs, printed in ((256, 37.23), (64, 38.15)):
        options = EngineOptions(max_num_batched_tokens=8192, max_num_seqs=seqs, gpu_memory_utilization=0.9)
        found = plan("qwen3-vl-30b-a3b", "H100-SXM", engine_version="0.12.0", tp=2, context=65536, options=options)
        assert found.pool.n_bytes / GIB == pytest.approx(printed, rel=0.01)


def test_levels_of_the_tower_have_buffers_of_their_own():
    options = EngineOptions(max_num_batched_tokens=4096)
    found = plan("qwen3-vl-8b", "H100-SXM", context=8192, options=options)
    assert term(found, "deepstack buffers").n_bytes == 3 * 4096 * 4096 * 2
    blind = plan(
        "qwen3-vl-8b", "H100-SXM", context=8192,
        options=EngineOptions(max_num_batched_tokens=4096, language_model_only=True),
    )  # fmt: skip
    assert term(blind, "deepstack buffers") is None


@given(st.integers(1, 7), st.sampled_from([("0.10.0", 1), ("0.19.0", 0)]))
def test_videos_of_qwen2_are_pairs_of_frames_as_many_as_the_context_holds(pairs, era):
    version, images = era  # the first rule left room for an image
    one = activations("qwen2.5-vl-7b", "H200", version, 2048, 1, 16384)
    many = activations("qwen2.5-vl-7b", "H200", version, 2048, 1, pairs * 16384)
    assert many == pytest.approx(max(1, pairs - images) * one, rel=0.08)
