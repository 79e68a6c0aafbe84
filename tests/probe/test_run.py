"""However a run ends, memory is given back and the report says how far it came."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from moesize.cli.main import main
from moesize.errors import InputError
from moesize.probe.cpu import Cpu
from moesize.probe.run import refuse_if_busy, run
from moesize.units import GIB, MIB
from tests.probe.probing import SMALL, plan_of

SMALL_RUN = [SMALL, "--device", "cpu", "--layers", "1", "--context", "64", "--max-num-batched-tokens", "16",
             "--max-num-seqs", "2", "--reserve", "0", "--offline"]  # fmt: skip


def moesize(*words: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys\n{before}\nfrom moesize.cli.main import main\nsys.exit(main({list(words)!r}))"
    env = os.environ | {"COLUMNS": "100"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)


MEASURED = """
from moesize.probe.cpu import Cpu
from moesize.probe.host import resident_bytes
from moesize.probe.run import run
from tests.probe.probing import SMALL, plan_of
device = Cpu()
run(plan_of(device, SMALL), device, reserve_bytes=0)  # what torch keeps for itself is taken once
before, seen = resident_bytes(), []
result = run(plan_of(device, SMALL), device, reserve_bytes=0, progress=lambda *_: seen.append(resident_bytes()))
print(before, max(seen), resident_bytes(), result.high_water_bytes, result.left_over_bytes)
"""


def test_the_resident_set_returns_to_its_start() -> None:
    """In a process of its own: pages other tests have freed would be taken again without its growing."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    before, highest, after, high_water, left_over = map(int, done.stdout.split())
    assert highest - before > 0.9 * high_water - 32 * MIB
    assert after - before < 32 * MIB
    assert left_over == 0


def test_a_failed_allocation_is_a_result() -> None:
    limit = (
        "import resource, torch\n"
        "from pathlib import Path\n"
        "size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 150 * 2**20,) * 2)"
    )
    done = moesize("probe", *SMALL_RUN, "--format", "json", before=limit)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["outcome"] == "allocation failed"
    assert report["comparison"]["measured"] == "oom"
    assert report["failure"]["n_bytes"] > 0
    assert "allocate" in report["failure"]["message"]
    assert 0 < report["high_water_bytes"] < 150 * MIB
    assert report["left_over_bytes"] == 0
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_the_measurement_and_not_the_report(device: Cpu) -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if what == "routed_expert":
            signal.raise_signal(signal.SIGINT)

    result = run(plan_of(device, SMALL), device, reserve_bytes=0, progress=interrupt)
    rows = {row.term: row for row in result.rows}
    assert result.outcome == "interrupted"
    assert rows["attention"].measured_bytes
    assert rows["routed_expert"].measured_bytes is None
    assert result.high_water_bytes > 0
    assert result.left_over_bytes == 0
    assert result.comparison.measured is None


def test_the_command_line_reports_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Cpu, "random", lambda *_: signal.raise_signal(signal.SIGINT))
    status = main(["probe", *SMALL_RUN])
    shown = capsys.readouterr().out
    assert status == 130
    assert shown.startswith("INTERRUPTED")
    assert "0 B left allocated" in shown


def test_the_reserve_stops_before_the_card_is_exhausted(device: Cpu) -> None:
    result = run(plan_of(device, SMALL), device, reserve_bytes=device.free_bytes() * 2)
    assert result.outcome == "stopped at the reserve"
    assert "reserve" in result.failure.message
    assert result.comparison.measured is None
    assert result.left_over_bytes == 0


def test_an_error_that_is_no_shortage_is_not_taken_for_one(device: Cpu) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        run(plan_of(device, SMALL), device, reserve_bytes=0, progress=broken)
    assert device.reading().allocated == 0


@pytest.mark.parametrize(("free_gib", "busy"), [(79, False), (64, False), (40, True), (0.5, True)])
def test_a_card_others_use_wants_force(free_gib: float, busy: bool, device: Cpu) -> None:
    facts = replace(
        device.facts, kind="cuda", name="NVIDIA H100", total_bytes=80 * GIB, free_bytes=round(free_gib * GIB)
    )
    if not busy:
        refuse_if_busy(SimpleNamespace(facts=facts))
        return
    with pytest.raises(InputError, match="--force"):
        refuse_if_busy(SimpleNamespace(facts=facts))


def test_the_report_is_json_by_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", *SMALL_RUN, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "moesize.probe/1"
    assert {row["term"]: row["difference_bytes"] for row in report["rows"]}["routed_expert"] == 0
    assert report["asked"]["measured_layers"] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["probe"], "--gpu-info"),
        (["probe", SMALL], "--device cpu"),
        (["probe", "--gpu-info"], "CUDA"),
        (["probe", SMALL, "--device", "cpu", "--rank", "3"], "--rank is 3"),
        (["probe", SMALL, "--device", "cpu", "--layers", "0"], "--layers is 0"),
        (["probe", SMALL, "--device", "cpu", "--tp", "3"], "3"),
        (["probe", SMALL, "--device", "cpu", "--reserve", "-1"], "--reserve is -1"),
        (["probe", "nobody-knows", "--device", "cpu"], "nobody-knows"),
        (["probe", *SMALL_RUN, "--save", "/tmp/never.yaml"], "--save keeps"),
    ],
)
def test_what_cannot_be_probed_is_one_sentence(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)


def test_without_torch_all_else_works_and_the_probe_says_what_to_install() -> None:
    none = "sys.modules['torch'] = None"
    done = moesize("probe", SMALL, before=none)
    assert (done.returncode, 'pip install "moesize[probe]"' in done.stderr) == (2, True)
    assert moesize("probe", SMALL, "--dry-run", before=none).returncode == 0
    assert moesize("check", SMALL, "--gpu", "H100-80GB", before=none).returncode == 0
    assert moesize("observe", "/nowhere", before=none).returncode == 2


def test_a_dry_run_shows_the_plan_and_allocates_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", SMALL, "--dry-run", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["outcome"] == "planned"
    assert all(row["measured_bytes"] is None for row in report["rows"])
    assert report["high_water_bytes"] == 0
