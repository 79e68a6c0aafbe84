"""The questions moesize exists for, with the arithmetic that settles them."""

import json
import subprocess
import sys

import pytest
from pydantic import BaseModel

from moesize import CheckReport, check
from moesize.units import GIB

A10G_GIB = (21.99, 22.21)


@pytest.mark.parametrize(("quant", "low", "high"), [("gptq-4bit", 22.9, 23.05), ("gptq-4bit-g-1", 22.1, 22.25)])
def test_four_bit_gptq_mixtral_does_not_fit_an_a10g(quant: str, low: float, high: float) -> None:
    report = check("mixtral-8x7b", gpu="A10G", quant=quant)
    assert (report.verdict, report.oom_at) == ("oom", "load")
    assert low < report.per_gpu.weights_bytes / GIB < high
    assert A10G_GIB[0] <= round(report.gpu.memory_bytes / GIB, 2) <= A10G_GIB[1]
    changes = " ".join(s.change for s in report.suggestions)
    assert "2× A10G" in changes
    assert "L40S" in changes


def test_every_suggestion_is_true() -> None:
    """Each option, typed as it is shown, really answers `fits` or `tight` within the budget."""
    report = check("mixtral-8x7b", gpu="A10G", quant="gptq-4bit")
    assert len(report.suggestions) >= 3
    for suggestion in report.suggestions:
        words = [
            "mixtral-8x7b",
            "--gpu",
            "A10G",
            "--quant",
            "gptq-4bit",
            *suggestion.option.replace('"', "").split(" ", 1),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "moesize", "check", *words, "--format", "json"], capture_output=True, check=False
        )
        answer = json.loads(done.stdout)
        assert (done.returncode, answer["verdict"]) == (0, suggestion.verdict), suggestion
        assert answer["per_gpu"]["headroom_bytes"] == suggestion.headroom_bytes >= 0


def test_fp16_mixtral_does_not_fit_one_a100_80gb_but_two_hold_it() -> None:
    one = check("mixtral-8x7b", gpu="A100-80GB", quant="fp16")
    assert (one.verdict, one.oom_at) == ("oom", "load")
    assert one.per_gpu.weights_bytes / GIB == pytest.approx(87.0, abs=0.05)
    two = check("mixtral-8x7b", gpu="A100-80GB", quant="fp16", gpus=2)
    assert two.verdict == "fits"
    assert two.workload.context == 8192
    assert 40 < (two.kv_cache.max_concurrency or 0) < 60


def test_the_seed_of_all_confusion() -> None:
    """Llama-2-70B and Mixtral are of one quality class; memory differs by a third, work per token by five."""
    dense, moe = (
        check("llama-2-70b", gpu="H200", quant="fp16", context=4096),
        check("mixtral-8x7b", gpu="H200", quant="fp16"),
    )
    assert dense.model.params.total == dense.model.params.active == 68_976_648_192
    assert moe.model.params.active == 12_879_925_248
    assert dense.per_gpu.weights_bytes / GIB == pytest.approx(128.5, abs=0.1)
    assert dense.compute.flops_per_token > 4.5 * moe.compute.flops_per_token


@pytest.mark.parametrize(
    "question",
    [
        {"model": "mixtral-8x7b", "gpu": "A10G", "quant": "gptq-4bit"},
        {"model": "mixtral-8x7b", "gpu": "A100-80GB", "gpus": 2},
        {"model": "deepseek-v3", "gpu": "H200", "gpus": 8},
        {"model": "gpt-oss-120b", "gpu": "H100"},
        {"model": "llama-3.1-8b", "gpu": "L4", "kv_dtype": "fp8", "quant": "fp8"},
        {"model": "qwen3-30b-a3b", "gpu": "A100-80GB", "tp": 2, "pp": 2},
        {"model": "qwen3-30b-a3b", "gpu": "H100", "dp": 2, "ep": True},
    ],
)
def test_the_receipt_adds_up_and_survives_json(question: dict[str, object]) -> None:
    report = check(**question)  # type: ignore[arg-type]
    per_gpu = report.per_gpu
    sums = {
        category: sum(t.bytes for t in report.terms if t.category == category and t.in_budget)
        for category in ("weights", "kv_cache", "activation", "runtime")
    }
    assert sums == {c: getattr(per_gpu, f"{c}_bytes") for c in sums}
    assert sum(sums.values()) == per_gpu.total_bytes == per_gpu.budget_bytes - per_gpu.headroom_bytes
    assert per_gpu.total_low_bytes <= per_gpu.total_bytes <= per_gpu.total_high_bytes
    assert all(t.formula and t.source for t in report.terms)
    assert isinstance(report, BaseModel)
    again = CheckReport.model_validate_json(report.model_dump_json())
    assert again.model_dump() == report.model_dump()
    assert json.loads(report.model_dump_json())["schema"] == "moesize.check/1"


def test_only_totals_are_published_of_gpt_4() -> None:
    report = check("gpt-4", gpu="H100", gpus=64, quant="fp8")
    assert report.model.params.total == 1_800_000_000_000
    assert report.model.params.active == 280_000_000_000
    assert (report.model.experts.routed, report.model.experts.per_token) == (16, 2)
    assert report.kv_cache.bytes_per_token is None
    assert any("KV cache" in note and "cannot" in note for note in report.notes)
