"""Blocks of torch's caching allocator, against what servers printed after loading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesize.engines.vllm.allocator import block_of, rounding_bytes
from moesize.hardware.gpu import load_gpu
from moesize.model.loader import load_model
from moesize.question import evaluate
from moesize.sizing import ask
from moesize.units import GIB, MIB


def weights_gib(model, **asked):
    terms = evaluate(ask(load_model(model, offline=True), load_gpu("H100-SXM"), **asked)).plan.terms
    return sum(t.n_bytes for t in terms if t.category == "weights") / GIB


@pytest.mark.parametrize(
    ("model", "asked", "printed"),
    [
        # "Model loading took" of rows in validation/data/vllm_logs_2.yaml
        ("llama-2-13b", {"engine_version": "0.9.2"}, 24.2841),
        ("qwen2.5-3b", {"engine_version": "0.9.2"}, 5.7916),
        ("deepseek-r1-distill-qwen-7b", {"engine_version": "0.11.0"}, 14.2717),
        ("deepseek-r1-distill-qwen-32b", {"engine_version": "0.11.0", "quant": "fp8-channel"}, 32.1993),
        # its matrices fill their pages: nothing is added
        ("llama-3.1-8b", {"engine_version": "0.11.0"}, 14.9889),
    ],
)
def test_loaded_weights_are_what_servers_printed(model, asked, printed):
    assert weights_gib(model, **asked) == pytest.approx(printed, abs=0.005)


def test_a_rest_above_one_mib_is_split_off_and_small_blocks_share():
    assert rounding_bytes([(135 * MIB, 40)]) == 40 * MIB
    assert rounding_bytes([(int(24.5 * MIB), 28)]) == 0
    assert rounding_bytes([(10 * MIB, 1), (9 * MIB, 1)]) == 0


@given(st.lists(st.tuples(st.integers(1, 2**34), st.integers(1, 100))))
def test_no_block_gains_more_than_the_rest_it_may_keep(blocks):
    assert 0 <= rounding_bytes(blocks) <= sum(count for _, count in blocks) * MIB


def test_fused_projections_are_one_block():
    attention = {block_of(f"model.layers.{{layer}}.self_attn.{p}_proj.weight") for p in "qkv"}
    experts = {block_of(f"model.layers.{{layer}}.mlp.experts.{{expert}}.{p}.weight") for p in ("gate_proj", "up_proj")}
    assert len(attention) == len(experts) == 1
    assert "{expert}" not in experts.pop()
    assert block_of("a.o_proj.weight") == "a.o_proj.weight"
