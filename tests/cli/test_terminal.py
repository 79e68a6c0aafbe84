"""What all commands share: formats, how much is said, widths, colours, help, and the bar for what takes long."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moesize.cli import progress
from moesize.cli.main import COMMANDS, main

RUN = [sys.executable, "-m", "moesize"]
LOG = Path(__file__).resolve().parents[2] / "docs" / "examples" / "vllm.log"
#: A question to every command that prints an answer.
ANSWERS = {
    "check": ("check", "mixtral-8x7b", "--gpu", "A10G"),
    "check without a GPU": ("check", "mixtral-8x7b"),
    "compare": ("compare", "mixtral-8x7b", "--gpu", "A10G,H200"),
    "plan": ("plan", "mixtral-8x7b", "--gpu", "H200"),
    "explain": ("explain", "mixtral-8x7b"),
    "gate": ("gate", "deploy.yaml", "--fail-on", "never"),
    "models list": ("models", "list", "--moe"),
    "models search": ("models", "search", "mixtral"),
    "models show": ("models", "show", "mixtral-8x7b"),
    "gpus list": ("gpus", "list"),
    "gpus search": ("gpus", "search", "A100"),
    "gpus show": ("gpus", "show", "A10G"),
    "quants": ("quants",),
    "probe": ("probe", "llama-3.2-1b", "--device", "cpu", "--dry-run"),
    "observe": ("observe", str(LOG), "--gpu", "H100"),
}
DEPLOYMENT = "model: mistralai/Mixtral-8x7B-Instruct-v0.1\ngpu: A10G\nquant: fp16\ncontext: 4096\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a deployment, seen as a plain terminal of 80 columns."""
    (tmp_path / "deploy.yaml").write_text(DEPLOYMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.mark.parametrize("words", ANSWERS.values(), ids=ANSWERS)
def test_formats_are_the_same_everywhere(
    here: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main([*words])
    text = capsys.readouterr().out
    assert main([*words, "--format", "text"]) == status
    assert _lasting(capsys.readouterr().out) == _lasting(text)
    assert main([*words, "--format", "json"]) == status
    assert json.loads(capsys.readouterr().out)
    assert main([*words, "--format", "markdown"]) == status
    markdown = capsys.readouterr().out
    assert "\n| " in f"\n{markdown}"
    assert "\x1b" not in text + markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)
    assert main([*words, "--format", "markdown", "--output", "answer.md"]) == status
    assert capsys.readouterr().out == ""
    assert _lasting((here / "answer.md").read_text(encoding="utf-8")) == _lasting(markdown)
    assert main([*words, "--format", "xml"]) == 2
    said = capsys.readouterr().err
    assert "'xml' is not one of 'text', 'json', 'markdown'" in said
    assert said.count("\n") == 1


def _lasting(text: str) -> list[str]:
    """Without what a machine has free at the moment."""
    return [line for line in text.splitlines() if not line.startswith("device")]


@pytest.mark.parametrize("name", ["check", "check without a GPU", "compare", "plan", "gate", "probe", "observe"])
def test_quiet_says_less_and_verbose_more(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ANSWERS[name]
    shown = {}
    statuses = set()
    for how in ("--quiet", "", "--verbose"):
        statuses.add(main([*words, *([how] if how else [])]))
        shown[how] = capsys.readouterr().out
    assert len(statuses) == 1
    assert 0 < len(shown["--quiet"]) < len(shown[""]) < len(shown["--verbose"])
    assert main([*words, "--quiet", "--verbose"]) == 2
    assert "contradict" in capsys.readouterr().err


def test_verbose_gives_every_term_its_formula_and_its_source(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "mixtral-8x7b", "--gpu", "A10G", "--format", "json"])
    terms = json.loads(capsys.readouterr().out)["terms"]
    main(["check", "mixtral-8x7b", "--gpu", "A10G", "--verbose"])
    text = " ".join(capsys.readouterr().out.split())
    for term in terms:
        assert f"{term['bytes']:,} bytes" in text
        assert " ".join(term["formula"].split()) in text
        assert term["source"] in text


@pytest.mark.parametrize("name", [name for name in ANSWERS if name not in ("gate", "plan")])
def test_answers_fit_80_columns_and_use_the_room_of_160(
    here: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main([*ANSWERS[name]])
    narrow = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 80
    monkeypatch.setenv("COLUMNS", "160")
    main([*ANSWERS[name]])
    wide = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in wide.splitlines()) <= 160
    assert len(wide.splitlines()) <= len(narrow.splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ["check", "mixtral-8x7b", "--gpu", "A10G"],
        ["check", "mixtral-8x7b"],
        ["compare", "mixtral-8x7b", "--gpu", "H200"],
        ["plan", "mixtral-8x7b", "--gpu", "H200"],
        ["probe", "llama-3.2-1b", "--device", "cpu", "--dry-run"],
        ["check", "mixtral-8x7b", "--gpu", "A10G", "--format", "markdown"],
    ],
    ids=" ".join,
)
def test_a_context_nobody_gave_is_said(here: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(words)
    assert "(default" in capsys.readouterr().out
    main([*words, "--context", "4096"])
    assert "(default" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS), ["models", "list"], ["model", "add"], ["gpus", "show"]]
)
def test_help_has_two_spellings(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "-h"]) == 0
    short = capsys.readouterr().out
    assert main([*command, "--help"]) == 0
    assert capsys.readouterr().out == short
    assert "Usage:" in short


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["chekc"], "no such command 'chekc'"),
        (["check"], "missing argument 'MODEL'"),
        (["check", "mixtral-8x7b", "--gpuu", "A10G"], "no such option: --gpuu"),
        (["check", "mixtral-8x7b", "--context", "many"], "'many' is not a valid int"),
        (["gpus", "show"], "missing argument"),
        (["check", "mixtral-8x7b", "--calibration", "mine.yaml"], "name it with --gpu"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("moesize: ")
    assert captured.err.count("\n") == 1
    assert says.lower() in captured.err.lower()


def test_a_bar_is_drawn_on_a_terminal_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "[b]one[/b]" in _drawn(monkeypatch, quiet=False, seconds=0.3)
    assert _drawn(monkeypatch, quiet=True, seconds=0.3) == ""
    assert _drawn(monkeypatch, quiet=False, seconds=0.0) == ""


def _read_to_end(ours: int) -> str:
    """What stands in a terminal, up to the word that was written last."""
    text = b""
    while not text.endswith(b"end"):
        text += os.read(ours, 65536)
    os.close(ours)
    return text.decode().removesuffix("end")


def _drawn(monkeypatch: pytest.MonkeyPatch, *, quiet: bool, seconds: float) -> str:
    """What a bar of that length writes on a terminal that is standard error."""
    monkeypatch.setattr(progress, "_AFTER_SECONDS", 0.05)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with progress.Bar("waiting", quiet=quiet) as bar:
            bar(0, 2, "[b]one[/b]")
            time.sleep(seconds)
        terminal.write("end")
    return _read_to_end(ours)


def test_a_pipe_gets_no_bar(here: Path) -> None:
    done = subprocess.run(
        [*RUN, "report", "mixtral-8x7b", "-o", "page.html"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _on_a_terminal(folder: Path, *words: str, **env: str) -> str:
    """What a command writes when standard output is a terminal."""
    ours, theirs = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    with os.fdopen(theirs, "w") as terminal:
        subprocess.run([*RUN, *words], cwd=folder, stdout=terminal, check=False, env={**clean, "TERM": "xterm", **env})
        terminal.write("end")
    return _read_to_end(ours)


def test_the_gate_has_the_colours_of_the_other_commands(here: Path) -> None:
    words = ("gate", "deploy.yaml", "--fail-on", "never")
    red = "\x1b[1;31m"
    coloured = _on_a_terminal(here, *words)
    assert f"{red}DOES NOT FIT\x1b[0m" in coloured
    assert f"{red}error\x1b[0m does-not-load: " in coloured
    assert f"{red}OUT OF MEMORY" in _on_a_terminal(here, "check", "mixtral-8x7b", "--gpu", "A10G")
    plain = subprocess.run([*RUN, *words], cwd=here, capture_output=True, text=True, check=True).stdout
    assert "\x1b" not in plain
    assert "\x1b[1;31m" not in _on_a_terminal(here, *words, NO_COLOR="1")
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == plain.split()


@pytest.mark.parametrize("name", ["check", "gate"])
def test_a_file_has_no_colours_whatever_the_terminal(here: Path, name: str) -> None:
    assert _on_a_terminal(here, *ANSWERS[name], "--output", "answer.txt") == ""
    written = (here / "answer.txt").read_text(encoding="utf-8")
    assert written
    assert "\x1b" not in written


def test_a_finding_stays_on_one_line_however_narrow_the_terminal(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    main([*ANSWERS["gate"]])
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "40")
    main([*ANSWERS["gate"]])
    assert capsys.readouterr().out == wide


@pytest.mark.parametrize("name", ["probe", "observe"])
def test_verbose_gives_sources_of_what_is_predicted(here: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([*ANSWERS[name], "--format", "json"])
    terms = json.loads(capsys.readouterr().out)["terms"]
    assert {term["category"] for term in terms} >= {"weights", "runtime"}
    main([*ANSWERS[name], "--verbose"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(term["source"] in text and " ".join(term["formula"].split()) in text for term in terms)
    main([*ANSWERS[name], "--quiet"])
    quiet = capsys.readouterr().out
    assert "predicted" in quiet
    assert not any(term["source"] in quiet for term in terms)
