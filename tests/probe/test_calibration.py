"""A calibration file replaces terms by name, and the pool is sized from what it leaves."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from moesize.calibration import read_calibration
from moesize.errors import InputError
from moesize.observe.question import Asked, answer_log
from moesize.observe.read import read_log
from moesize.observe.save import calibration_text as of_log
from moesize.probe.cpu import Cpu
from moesize.probe.plan import blank_result
from moesize.probe.save import calibration_text as of_probe
from moesize.sizing import size
from moesize.units import GIB, MIB
from tests.probe.probing import SMALL, plan_of

LOG = [
    "INFO [core.py:105] Initializing a V1 LLM engine (v0.19.0) with config: model='meta-llama/Llama-3.1-8B', max_seq_len=8192",
    "Chunked prefill is enabled with max_num_batched_tokens=8192.",
    "Model loading took 14.99 GiB memory and 14.4 seconds",
    "Total non KV cache memory: 18.12GiB; torch peak memory increase: 2.39GiB; non-torch forward increase memory: 0.75GiB;",
    "Graph capturing finished in 9 secs, took 0.91 GiB",
    "Available KV cache memory: 53.13 GiB",
]
ASKED = {"gpu": "H100-80GB", "engine_version": "0.19.0", "context": 8192, "max_num_batched_tokens": 8192}


def written(path: Path, **changes: object) -> Path:
    entry = {"term": "outside torch", "bytes": GIB, "low_bytes": GIB, "high_bytes": 2 * GIB}
    document = {"schema": "moesize.calibration/1", "device": "H100", "date": "2026-01-02", "terms": [entry]} | changes
    path.write_text(yaml.safe_dump(document))
    return path


def test_terms_are_replaced_and_the_report_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.yaml")
    plain, mine = size("llama-3.1-8b", **ASKED), size("llama-3.1-8b", **ASKED, calibration=path)
    term = next(t for t in mine.terms if t.term == "outside torch")
    assert (term.bytes, term.high_bytes, term.basis) == (GIB, 2 * GIB, "given")
    assert "mine.yaml" in term.source
    assert any("calibrated by mine.yaml, H100, 2026-01-02: outside torch" in note for note in mine.notes)
    assert mine.per_gpu.runtime_bytes - plain.per_gpu.runtime_bytes == GIB - next(
        t.bytes for t in plain.terms if t.term == "outside torch"
    )
    assert sum(t.bytes for t in mine.terms if t.in_budget) == mine.per_gpu.total_bytes


def test_the_pool_gives_up_what_the_terms_take(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.yaml")
    plain, mine = size("llama-3.1-8b", **ASKED), size("llama-3.1-8b", **ASKED, calibration=path)
    taken = mine.per_gpu.runtime_bytes - plain.per_gpu.runtime_bytes
    assert plain.kv_cache.pool_bytes - mine.kv_cache.pool_bytes == pytest.approx(taken, abs=4 * MIB)
    assert mine.kv_cache.pool_tokens < plain.kv_cache.pool_tokens


def test_a_figure_for_one_model_leaves_others_alone(tmp_path: Path) -> None:
    entry = {"term": "activations", "bytes": 3 * GIB, "only_for": {"model": "llama-3.1-8b"}}
    path = written(tmp_path / "mine.yaml", terms=[entry])
    assert (
        next(t for t in size("llama-3.1-8b", **ASKED, calibration=path).terms if t.term == "activations").bytes
        == 3 * GIB
    )
    other = size("mistral-7b-v0.1", **ASKED, calibration=path)
    assert other.per_gpu.activation_bytes == size("mistral-7b-v0.1", **ASKED).per_gpu.activation_bytes
    assert any("no term of this question" in note for note in other.notes)


def test_a_log_calibrates_the_question_it_came_from(tmp_path: Path) -> None:
    """What a server printed comes back out of `check` to the printed digit."""
    seen = read_log(LOG)
    path = tmp_path / "server.yaml"
    path.write_text(of_log(seen, answer_log(seen, Asked(gpu="H100-80GB")), "2026-01-02"))
    mine = size("llama-3.1-8b", **ASKED, calibration=path)
    assert mine.per_gpu.activation_bytes == pytest.approx(2.39 * GIB, abs=1)
    assert mine.per_gpu.runtime_bytes == pytest.approx(0.75 * GIB, abs=1)
    for elsewhere in ({"gpu": "A100-80GB"}, {"gpus": 2}, {"engine": "sglang", "engine_version": None}):
        other = size("llama-3.1-8b", **(ASKED | elsewhere), calibration=path)
        assert any("no term of this question" in note for note in other.notes), elsewhere
    assert mine.kv_cache.pool_bytes / GIB == pytest.approx(79.1 * 0.9 - 14.99 - 2.39 - 0.75, abs=0.1)


def test_a_probe_saves_the_card_s_constants(device: Cpu, tmp_path: Path) -> None:
    plan = plan_of(device, SMALL)
    facts = replace(device.facts, kind="cuda", name="NVIDIA H100 80GB HBM3", driver="570.86")
    result = blank_result(plan, facts, "completed")
    rows = {row.term: row for row in result.rows}
    rows["CUDA context"].measured_bytes, rows["beyond torch"].measured_bytes = 500 * MIB, 200 * MIB
    path = tmp_path / "card.yaml"
    path.write_text(of_probe(result, "2026-01-02"))
    found = {m.term: m for m in read_calibration(path).measured}
    assert found["CUDA context"].n_bytes == 500 * MIB
    assert found["outside torch"].only_for == {"tp": 1, "gpu": "nvidia-h100-sxm5-80gb"}
    assert "570.86" in path.read_text()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": "moesize.calibration/9"}, "calibration/9"),
        ({"terms": 3}, "terms"),
        ({"terms": [{"term": "weights", "bytes": 1}]}, "'weights'"),
        ({"terms": [{"term": "outside torch", "bytes": -1}]}, "bytes"),
        ({"terms": [{"term": "outside torch", "bytes": True}]}, "bytes"),
        ({"terms": [{"term": "outside torch", "bytes": 5, "low_bytes": 6}]}, "low_bytes"),
        ({"terms": [{"term": "outside torch", "bytes": 5, "only_for": [1]}]}, "only_for"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    path = written(tmp_path / "mine.yaml", **changes)
    with pytest.raises(InputError, match=r"mine\.yaml") as caught:
        read_calibration(path)
    assert says in str(caught.value)
