"""Comparing and planning: what they name must be what `check` says."""

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesize import MoesizeError, check, load_gpu, load_model
from moesize.cli.main import main
from moesize.compare import ALL_QUANTS, compare
from moesize.hardware.rental import cheapest_rental
from moesize.layouts import layouts
from moesize.plan import Limits, plan

CARDS = ("A10G", "L4", "L40S", "A100-80GB", "H100", "H200", "B200", "MI300X")
MODELS = ("mixtral-8x7b", "qwen3-30b-a3b", "gpt-oss-120b", "llama-3.1-70b", "deepseek-v2-lite")


def cards(*names: str):
    return [load_gpu(name) for name in names or CARDS]


def test_a_row_is_what_check_answers_on_the_fewest_gpus() -> None:
    spec = load_model("mixtral-8x7b")
    table = compare([spec], cards(), [None, "awq-4bit"], context=16384, concurrency=4)
    assert len(table.rows) == 2 * len(CARDS)
    for row in table.rows:
        if row.verdict != "fits":
            continue
        report = check(
            spec, load_gpu(row.gpu), gpus=row.gpus, tp=row.tp, pp=row.pp, quant=row.quant, context=16384, concurrency=4
        )
        assert (report.verdict, report.per_gpu.headroom_bytes) == ("fits", row.headroom_bytes)
        smaller = [layout for layout in layouts() if layout.gpus < row.gpus]
        if smaller:
            fewer = check(
                spec,
                load_gpu(row.gpu),
                tp=smaller[-1].tp,
                pp=smaller[-1].pp,
                quant=row.quant,
                context=16384,
                concurrency=4,
            )
            assert fewer.verdict != "fits"


def test_rows_come_best_first_and_those_that_fit_nowhere_last() -> None:
    table = compare([load_model("deepseek-v3")], cards("A10G", "H100", "H200", "B200", "MI300X"), [None], max_gpus=16)
    verdicts = [row.verdict for row in table.rows]
    assert verdicts == sorted(verdicts, key=lambda v: v == "oom")
    assert next(row for row in table.rows if row.gpu == "A10G").verdict == "oom"
    prices = [row.usd_per_hour for row in table.rows if row.verdict == "fits" and row.usd_per_hour]
    assert prices == sorted(prices)
    by_speed = compare([load_model("mixtral-8x7b")], cards(), ["awq-4bit"], sort="speed")
    speeds = [row.decode_tokens_per_second_bound or 0 for row in by_speed.rows if row.verdict == "fits"]
    assert speeds == sorted(speeds, reverse=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    model=st.sampled_from(MODELS),
    card=st.sampled_from(CARDS),
    quant=st.sampled_from([None, "fp8", "awq-4bit"]),
    context=st.sampled_from([1024, 4096, 8192]),
    concurrency=st.integers(1, 64),
)
def test_every_planned_layout_passes_check_and_a_step_fewer_does_not(
    model: str, card: str, quant: str | None, context: int, concurrency: int
) -> None:
    spec, gpu = load_model(model), load_gpu(card)
    try:
        result = plan(spec, [gpu], context=context, concurrency=concurrency, quants=[quant], limits=Limits(max_gpus=16))
    except MoesizeError as error:
        assert "nothing holds" in str(error) or "fits on none" in str(error) or "cannot be stored" in str(error)  # noqa: PT017
        return
    fewest = min(result.choices, key=lambda c: c.gpus)
    for choice in result.choices:
        share = -(-concurrency // choice.dp)
        again = check(
            spec, gpu, quant=quant, context=context, concurrency=share, tp=choice.tp, pp=choice.pp, dp=choice.dp
        )
        assert again.verdict == "fits"
        assert again.per_gpu.headroom_bytes == choice.headroom_bytes
    for layout in layouts(fewest.gpus - 1) if fewest.gpus > 1 else ():
        try:
            fewer = check(spec, gpu, quant=quant, context=context, concurrency=concurrency, tp=layout.tp, pp=layout.pp)
        except MoesizeError:
            continue
        assert fewer.verdict != "fits"


def test_nothing_on_the_front_is_beaten() -> None:
    result = plan(load_model("gpt-oss-120b"), cards(), context=8192, concurrency=8)
    merits = [(c.usd_per_hour or float("inf"), c.gpus, -(c.tokens_per_second_bound or 0)) for c in result.choices]
    for one in merits:
        assert not any(other != one and all(x <= y for x, y in zip(other, one, strict=True)) for other in merits)
    assert result.near_misses
    assert all(miss.reason for miss in result.near_misses)


def test_limits_are_kept() -> None:
    spec = load_model("gpt-oss-120b")
    cheap = plan(spec, cards(), context=8192, concurrency=1, limits=Limits(max_price=5))
    assert all(c.usd_per_hour is not None and c.usd_per_hour <= 5 for c in cheap.choices)
    fast = plan(spec, cards(), context=8192, concurrency=1, limits=Limits(min_tokens_per_second=1000))
    assert all((c.tokens_per_second_per_sequence_bound or 0) >= 1000 for c in fast.choices)
    with pytest.raises(MoesizeError, match=r"USD/h"):
        plan(spec, cards("H100"), context=8192, concurrency=1, limits=Limits(max_price=0.01))
    with pytest.raises(MoesizeError, match="price ceiling"):
        plan(spec, cards("H100"), context=8192, concurrency=1, limits=Limits(max_price=-1))


def test_commands_realise_the_layout() -> None:
    result = plan(load_model("deepseek-v3"), cards("H200"), context=32768, concurrency=64)
    for choice in result.choices:
        line = choice.commands["vllm"].split()
        assert line[:3] == ["vllm", "serve", "deepseek-ai/DeepSeek-V3"]
        assert line[line.index("--max-model-len") + 1] == "32768"
        assert choice.tp == 1 or line[line.index("--tensor-parallel-size") + 1] == str(choice.tp)


def test_a_rental_holds_the_gpus_and_the_users_price_wins() -> None:
    listed = cheapest_rental("nvidia-a10g", 4, per_node=4)
    assert listed is not None
    assert listed.usd_per_hour > 1
    assert listed.date
    mine = cheapest_rental("nvidia-a10g", 4, per_node=4, prices={"g5.12xlarge": 0.5})
    assert mine is not None
    assert (mine.instance, mine.usd_per_hour) == ("g5.12xlarge", 0.5)
    assert cheapest_rental("nvidia-rtx-4090", 4096, per_node=4096) is None


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "moesize", *words], capture_output=True, text=True, check=False)


def test_tables_can_be_read_back() -> None:
    words = ["compare", "mixtral-8x7b", "--gpu", "A10G,L40S,H100", "--quant", "fp16,awq"]
    rows = json.loads(run(*words, "--format", "json").stdout)["rows"]
    table = list(csv.DictReader(io.StringIO(run(*words, "--format", "csv").stdout)))
    assert [(r["gpu"], r["quant"], str(r["gpus"])) for r in rows] == [(r["gpu"], r["quant"], r["gpus"]) for r in table]
    lines = run(*words, "--format", "markdown").stdout.splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(rows)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["compare", "mixtral-8x7b", "--gpu", "A10GG"], "unknown GPU"),
        (["compare", "mixtral-8x7b", "--gpu", ","], "names nothing"),
        (["compare", "mixtral-8x7b", "--gpu", "H100", "--sort", "luck"], "unknown sort order 'luck'"),
        (["compare", "mixtral-8x7b", "--gpu", "H100", "--quant", "gptq-5bit"], "5-bit"),
        (["plan", "deepseek-v3", "--gpu", "T4", "--max-gpus", "2"], "fits on none"),
        (["plan", "mixtral-8x7b", "--gpu", "H100", "--concurrency", "0"], "concurrency of 0"),
        (["plan", "mixtral-8x7b", "--gpu", "H100", "--prices", "/nowhere.yaml"], "/nowhere.yaml"),
        (["plan", "mixtral-8x7b", "--gpu", "H100", "--max-gpus", "0"], "0 GPUs"),
    ],
)
def test_bad_input_is_one_clear_sentence(words: list[str], says: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_all_quantisations_of_the_list_are_known() -> None:
    table = compare([load_model("mixtral-8x7b")], cards("H200"), [None, *ALL_QUANTS])
    assert table.skipped == []


def test_a_gguf_file_is_started_by_llama_cpp_alone() -> None:
    spec = load_model("mixtral-8x7b")
    result = plan(spec, cards("L40S"), context=4096, concurrency=1, quants=["q4_k_m"], engine="llama.cpp")
    assert [list(choice.commands) for choice in result.choices] == [["llama.cpp"]] * len(result.choices)
    assert "-GGUF:Q4_K_M" in result.choices[0].commands["llama.cpp"]


UNSTORABLE = (
    r"gpt-oss-120b as [a-z0-9, -]*awq-4bit[a-z0-9, -]*: .* needs an input dimension that 128 divides, not 2880$"
)


@pytest.mark.parametrize("command", ["compare", "plan"])
@pytest.mark.parametrize("quants", ["all", "awq-4bit,fp8"])
def test_formats_that_cannot_store_a_model_leave_the_others(
    command: str, quants: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, "gpt-oss-120b", "--gpu", "H100-80GB", "--quant", quants]
    assert main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["skipped"]) == 1
    assert re.fullmatch(UNSTORABLE, found["skipped"][0])
    kept = {row["quant"] for row in found["rows" if command == "compare" else "choices"]}
    assert kept
    assert "awq-4bit" not in kept
    for fmt in ("text", "markdown"):
        assert main([*words, "--format", fmt]) == 0
        assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["compare", "plan", "report"])
@pytest.mark.parametrize("quants", ["awq-4bit", "awq-4bit,int4"])
def test_formats_none_of_which_can_store_a_model_are_an_error(
    command: str, quants: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--output", str(tmp_path / "out")]
    assert main([command, "gpt-oss-120b", "--gpu", "H100-80GB", "--quant", quants, *out]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "2880" in said
    assert "cannot be stored as awq-4bit" in said or "as awq-4bit, int4: model" in said


def test_a_page_names_the_formats_left_out(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ["report", "gpt-oss-120b", "--gpu", "H100-80GB", "--quant", "all", "--charts", "1"]
    assert main([*words, "--output", str(page)]) == 0
    assert re.search("Skipped: gpt-oss-120b as [a-z0-9, -]*awq-4bit", page.read_text(encoding="utf-8"))


def test_cards_an_engine_does_not_run_on_leave_the_others() -> None:
    table = compare([load_model("llama-3.1-8b")], cards("MI300X", "H100-80GB"), [None], engine="tensorrt-llm")
    assert {row.gpu for row in table.rows} == {load_gpu("H100-80GB").name}
    assert len(table.skipped) == 1
    with pytest.raises(MoesizeError, match="NVIDIA GPUs"):
        compare([load_model("llama-3.1-8b")], cards("MI300X"), [None], engine="tensorrt-llm")


SETTINGS = ("--speculative", "mtp:2", "--enable-prefix-caching", "--language-model-only")


def test_settings_of_check_are_settings_of_compare_plan_and_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["qwen3.5-35b-a3b", "--gpu", "H200", *SETTINGS]
    assert main(["compare", *words, "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert main(["check", *words, "--gpus", str(row["gpus"]), "--format", "json"]) == 0
    per_gpu = json.loads(capsys.readouterr().out)["per_gpu"]
    assert (row["weights_bytes"], row["headroom_bytes"]) == (per_gpu["weights_bytes"], per_gpu["headroom_bytes"])
    assert main(["plan", *words, "--gpu-memory-utilization", "0.85", "--format", "json"]) == 0
    choice = json.loads(capsys.readouterr().out)["choices"][0]
    assert set(choice["commands"]) == {"vllm"}, "other engines have none of these settings"
    line = shlex.split(choice["commands"]["vllm"])
    assert json.loads(line[line.index("--speculative-config") + 1]) == {"method": "mtp", "num_speculative_tokens": 2}
    assert {"--enable-prefix-caching", "--language-model-only"} <= set(line)
    assert line[line.index("--gpu-memory-utilization") + 1] == "0.85"
    page = tmp_path / "page.html"
    assert main(["report", *words, "--output", str(page)]) == 0
    assert "mtp" in page.read_text(encoding="utf-8")


def test_a_model_that_cannot_speculate_so_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "deepseek-v3", "llama-3.1-8b", "--gpu", "H200", "--speculative", "mtp", "--format", "json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in found["rows"]} == {"deepseek-v3"}
    assert "llama-3.1-8b has no prediction (MTP) layers" in found["skipped"][0]
    assert main(["compare", "llama-3.1-8b", "--gpu", "H200", "--speculative", "mtp"]) == 2


def test_a_planned_command_names_its_drafting_model() -> None:
    head = "speculator-eagle3-llama-3.1-8b"
    result = plan(
        load_model("llama-3.1-8b"), cards("H100-80GB"), context=4096, concurrency=1, speculative=f"eagle3:3:{head}"
    )
    line = shlex.split(result.choices[0].commands["vllm"])
    config = json.loads(line[line.index("--speculative-config") + 1])
    assert config == {"method": "eagle3", "num_speculative_tokens": 3, "model": load_model(head).hub_ids[0]}
