import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesize.memory.layout import Layout, LayoutError, stages
from moesize.memory.sharding import ShardingRules, rank_tensors
from moesize.model.loader import load_model
from moesize.model.spec import Role


@given(layers=st.integers(1, 200), pp=st.integers(1, 64))
def test_stages_cover_every_layer_once(layers, pp):
    if pp > layers:
        with pytest.raises(LayoutError):
            stages(layers, pp)
        return
    cut = stages(layers, pp)
    assert [i for stage in cut for i in stage.layers] == list(range(layers))
    sizes = [len(stage.layers) for stage in cut]
    assert max(sizes) - min(sizes) <= 1
    assert cut[0].first
    assert cut[-1].last


def parameters(spec, layout, rules=None):
    return [
        sum(t.part.parameters for t in rank_tensors(spec, layout, stage, rules))
        for stage in stages(spec.num_layers, layout.pp)
    ]


def test_kv_heads_are_copied_when_ranks_outnumber_them():
    spec = load_model("llama-3.1-8b", offline=True)  # 8 KV heads
    for tp in (8, 16, 32):
        held = rank_tensors(spec, Layout(tp), stages(spec.num_layers, 1)[0])
        key = next(t.part for t in held if t.part.name.endswith("k_proj.weight"))
        assert key.shape[0] == 128


def test_experts_divide_alike_by_tensor_and_by_expert_parallelism():
    spec = load_model("mixtral-8x7b", offline=True)
    assert parameters(spec, Layout(4)) == parameters(spec, Layout(4, ep=True))
    by_data = rank_tensors(spec, Layout(1, dp=8, ep=True), stages(spec.num_layers, 1)[0])
    experts = sum(t.part.parameters for t in by_data if t.part.role is Role.ROUTED_EXPERT)
    assert experts * 8 == spec.params.by_role["routed_expert"]


def test_some_families_build_both_ends_on_every_stage():
    spec = load_model("mixtral-8x7b", offline=True)
    ends = parameters(spec, Layout(1, pp=2))
    everywhere = parameters(spec, Layout(1, pp=2), ShardingRules(ends_on_every_stage=True))
    head = spec.vocab_size * spec.hidden_size
    assert everywhere == [ends[0] + head + spec.hidden_size, ends[1] + head]
