"""The forward pass peaks where the activation model says, by torch's own profiler."""

from pathlib import Path

import pytest
import torch

from moesize.probe.cpu import Cpu
from moesize.probe.plan import DECODE, FORWARD, SAMPLER
from moesize.probe.predict import forward_peak_bytes, sampler_bytes
from moesize.probe.run import run
from moesize.probe.shapes import Heads
from moesize.probe.stack import Stack, _attend
from tests.probe.probing import SMALL, plan_of, torch_profile


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        (SMALL, 256),
        ("olmoe-1b-7b", 128),
        ("qwen1.5-moe-a2.7b", 128),
        ("qwen2.5-0.5b", 256),
        ("deepseek-v2-lite", 256),
        ("granite-4.0-h-tiny", 256),
    ],
)
def test_the_peak_is_within_a_tenth_of_the_prediction(model: str, tokens: int, device: Cpu, tmp_path: Path) -> None:
    plan = plan_of(device, model, tokens=tokens)
    step = plan.steps[FORWARD]
    predicted = forward_peak_bytes(plan.spec, plan.tensors, plan.question.layout, step)
    stack = Stack(device, plan.layers, plan.spec.hidden_size or 0, plan.spec.dtype, plan.mla_rows)
    stack.forward(2, 1, 2)
    with torch_profile(tmp_path) as counted, device.watch() as peak:
        stack.forward(step.tokens, step.rows, plan.mla_tokens(step))
    assert step.tokens == tokens
    assert counted["peak"] == pytest.approx(predicted, rel=0.10)
    assert peak.n_bytes == pytest.approx(counted["peak"], rel=0.03)


@pytest.mark.parametrize(
    ("model", "heads"),
    [
        (SMALL, [(16, 8, 64)]),
        ("falcon-7b", [(71, 1, 64)]),
        ("phi-3-mini", [(32, 32, 96)]),
        ("deepseek-v2-lite", [None, None]),
    ],
)
def test_attention_is_computed_where_keys_and_values_are_kept(model: str, heads: list, device: Cpu) -> None:
    mixers = [block for layer in plan_of(device, model).layers for block in layer.mixers]
    assert [b.heads and (b.heads.queries, b.heads.kv, b.heads.dim) for b in mixers] == heads


@pytest.mark.parametrize("fused", [True, False])
def test_attention_is_what_one_sequence_after_another_gives(fused: bool) -> None:
    """Causal, grouped, sequence by sequence: against the sums written out."""
    heads, length, tokens = Heads(queries=4, kv=2, dim=8), 3, 9
    q, k, v = (torch.randn(tokens, width) for width in (32, 16, 16))
    product = torch.zeros(tokens, 32)
    _attend([torch.cat((q, k, v), dim=1)] if fused else [q, k, v], heads, product, length)
    for token in range(tokens):
        seen = range(token // length * length, token + 1)
        for head in range(4):
            mine, kv = slice(8 * head, 8 * head + 8), slice(8 * (head // 2), 8 * (head // 2) + 8)
            weights = torch.softmax(torch.stack([q[token, mine] @ k[i, kv] for i in seen]) / 8**0.5, dim=0)
            expected = sum(w * v[i, kv] for w, i in zip(weights, seen, strict=True))
            torch.testing.assert_close(product[token, mine], expected)


def test_the_sampler_peaks_at_its_four_copies(device: Cpu, tmp_path: Path) -> None:
    stack = Stack(device, (), 64, "bfloat16", 0)
    stack.sample(1, 8)
    with torch_profile(tmp_path) as counted:
        stack.sample(32, 32000)
    assert counted["peak"] == pytest.approx(sampler_bytes(32, 32000, "bfloat16"), rel=0.10)


def test_the_run_measures_both_steps_and_the_sampler(device: Cpu) -> None:
    result = run(plan_of(device, SMALL, tokens=128, seqs=16, concurrency=8), device, reserve_bytes=0)
    rows = {row.term: row for row in result.rows}
    for name in (FORWARD, DECODE, SAMPLER):
        assert rows[name].measured_bytes == pytest.approx(rows[name].predicted_bytes, rel=0.10), name
    assert rows[DECODE].measured_bytes < rows[FORWARD].measured_bytes
    assert result.comparison.measured == "fits"
    assert result.comparison.measured_total_bytes > sum(
        r.measured_bytes or 0 for r in result.rows if r.category == "weights"
    )
