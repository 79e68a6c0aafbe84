"""Bytes torch allocates equal the bytes that are predicted, model by model and format by format."""

from dataclasses import replace
from pathlib import Path

import pytest

from moesize.memory.layout import Layout, stages
from moesize.memory.sharding import rank_tensors
from moesize.memory.weights import weights_by_role
from moesize.model.loader import load_model
from moesize.probe.cpu import Cpu
from moesize.probe.inventory import rank_inventory
from moesize.probe.run import run
from moesize.quant.names import resolve_quant
from tests.probe.probing import SMALL, cut, plan_of, torch_profile

MODELS = (SMALL, "olmoe-1b-7b", "qwen3-30b-a3b", "mixtral-8x7b", "lfm2-8b-a1b")
QUANTS = ("bf16", "fp8", "gptq-4bit", "nf4", "mxfp4")


@pytest.mark.parametrize("quant", QUANTS)
@pytest.mark.parametrize("model", MODELS)
def test_bytes_of_a_layer_reduced_model_are_the_predicted_ones(model: str, quant: str, device: Cpu) -> None:
    spec = load_model(model, offline=True)
    first = {kind.layers[0] for kind in plan_of(device, spec, quant=quant).inventory.kinds}
    reduced = cut(spec, first)
    scheme = resolve_quant(quant, reduced)
    tensors = rank_tensors(reduced, Layout(), stages(reduced.num_layers, 1)[0])
    predicted = weights_by_role(tensors, scheme)
    plan = replace(plan_of(device, reduced, quant=quant, layers=None), layers=())
    result = run(plan, device, reserve_bytes=0)
    measured = {row.term: row.measured_bytes for row in result.rows if row.category == "weights"}
    assert result.outcome == "completed"
    assert {role.value: measured[role.value] for role in predicted} == {r.value: n for r, n in predicted.items()}
    assert result.left_over_bytes == 0


@pytest.mark.parametrize("quant", QUANTS)
def test_torchs_profiler_counts_the_same_bytes(quant: str, device: Cpu, tmp_path: Path) -> None:
    plan = plan_of(device, SMALL, quant=quant)
    with torch_profile(tmp_path) as counted:
        held = [device.empty(a.shape, a.dtype) for b in plan.inventory.batches for a in b.arrays]
        ours = device.reading().requested
    assert counted["end"] == ours == plan.inventory.n_bytes
    del held
    assert device.reading().requested == 0


@pytest.mark.parametrize("tp", [1, 4])
def test_a_rank_holds_its_share(tp: int, device: Cpu) -> None:
    plan = replace(plan_of(device, "olmoe-1b-7b", tp=tp, rank=tp - 1), layers=())
    rows = {row.term: row for row in run(plan, device, reserve_bytes=0).rows}
    whole = {role.value: n for role, n in plan_of(device, "olmoe-1b-7b").inventory.predicted.items()}
    assert rows["routed_expert"].measured_bytes == whole["routed_expert"] // tp
    assert rows["router"].measured_bytes == whole["router"]
    assert rows["KV cache"].measured_bytes == plan.kv_bytes


@pytest.mark.parametrize(
    ("model", "layers"), [(SMALL, 2), ("deepseek-v2-lite", 1), ("granite-4.0-h-tiny", 2), ("gemma-3-4b", 1)]
)
def test_a_few_layers_of_each_kind_extrapolate_to_all(model: str, layers: int, device: Cpu) -> None:
    plan = replace(plan_of(device, model, layers=layers), layers=())
    result = run(plan, device, reserve_bytes=0)
    for row in result.rows:
        if row.category in ("weights", "kv_cache") and row.predicted_bytes:
            assert row.measured_bytes == row.predicted_bytes, row.term
    assert result.asked.measured_layers == sum(min(layers, len(kind.layers)) for kind in plan.inventory.kinds)
    assert result.asked.measured_layers < result.asked.layers
    assert plan.inventory.extrapolates


def test_kinds_are_layers_that_hold_the_same_arrays() -> None:
    spec = load_model("deepseek-v2-lite", offline=True)
    tensors = rank_tensors(spec, Layout(), stages(spec.num_layers, 1)[0])
    kinds = rank_inventory(tensors, resolve_quant("bf16", spec), 1).kinds
    assert [(kind.layers[0], len(kind.layers)) for kind in kinds] == [(0, 1), (1, 26)]
