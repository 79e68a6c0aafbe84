"""The command: exit statuses, outputs, diffs, locking, and the action's script, run as they are run by others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from moesize.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FITS = "model: mistralai/Mixtral-8x7B-Instruct-v0.1\ngpu: H200\nquant: fp8\ncontext: 4096\n"
FAILS = "model: mistralai/Mixtral-8x7B-Instruct-v0.1\ngpu: A10G\nquant: fp16\n"
OPEN = "model: mistralai/Mixtral-8x7B-Instruct-v0.1\ngpu: some-card\nquant: fp16\n"
SERVER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: chat}
spec:
  template:
    spec:
      nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.19.0
          args: [--model=meta-llama/Llama-3.1-8B-Instruct, --max-model-len=%d, --quantization=%s]
          resources: {limits: {nvidia.com/gpu: "1"}}
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gate(*words: str) -> int:
    return main(["gate", *words])


@pytest.mark.parametrize("fmt", ["text", "json", "github", "sarif", "junit", "markdown"])
def test_the_exit_status_is_the_same_in_every_format(tree: Path, fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    for text, status, loose in ((FITS, 0, 0), (FAILS, 1, 1), (OPEN, 0, 1)):
        (tree / "a.yaml").write_text(text)
        assert gate("a.yaml", "--format", fmt) == status
        assert gate("a.yaml", "--format", fmt, "--fail-on", "undecided") == loose
        assert gate("a.yaml", "--format", fmt, "--fail-on", "never") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no path"),
        (("missing.yaml",), "missing.yaml"),
        (("a.yaml", "missing"), "missing"),
        (("other.yaml",), "no model is deployed"),
        (("a.yaml", "--format", "yaml"), "'yaml' is not one of 'text', 'json', 'markdown'"),
        (("a.yaml", "--output", "yml=x"), "unknown format 'yml'"),
        (("a.yaml", "--output", "json=no/such/folder"), "cannot write"),
        (("a.yaml", "--policy", "none.toml"), "none.toml"),
        (("a.yaml", "--baseline", "none.json"), "none.json"),
        (("a.yaml", "--fail-on", "eror"), "did you mean error"),
        (("a.yaml", "--gpu", "H1000"), "H1000"),
        (("a.yaml", "--diff", "HEAD"), "--diff"),
        (("a.yaml", "--diff", "--output=x"), "--diff"),
        (("--explain", "tigt"), "did you mean tight"),
    ],
)
def test_what_cannot_be_answered_is_two_and_one_sentence(
    tree: Path, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "a.yaml").write_text(FITS)
    (tree / "other.yaml").write_text("kind: Service\nspec: {ports: [{port: 80}]}\n")
    assert gate(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("moesize: ")
    assert captured.err.count("\n") == 1
    assert says in captured.err


def test_finding_nothing_is_not_green_unless_allowed(tree: Path) -> None:
    (tree / "other.yaml").write_text("a: 1\n")
    assert gate(".") == 2
    assert gate(".", "--allow-empty") == 0


def test_several_outputs_of_one_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "a.yaml").write_text(FAILS)
    assert gate(".", "-o", "sarif=a.sarif", "-o", "junit=a.xml", "-o", "json=a.json", "-o", "markdown=a.md") == 1
    assert "DOES NOT FIT" in capsys.readouterr().out
    assert json.loads((tree / "a.sarif").read_text())["version"] == "2.1.0"
    assert ET.parse(tree / "a.xml").getroot().attrib["failures"] == "1"
    assert json.loads((tree / "a.json").read_text())["exit_status"] == 1
    assert "does not fit" in (tree / "a.md").read_text()
    assert gate("a.yaml", "-o", "github=-", "-o", "json=b.json") == 1
    assert capsys.readouterr().out.startswith("::error ")
    assert gate("a.yaml", "-f", "json", "-o", "c.json") == 1
    assert capsys.readouterr().out == ""
    assert json.loads((tree / "c.json").read_text()) == json.loads((tree / "b.json").read_text())


def test_the_same_tree_gives_the_same_bytes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b", "a", "c"):
        (tree / f"{name}.yaml").write_text(FAILS)
    gate(".", "-f", "json")
    first = capsys.readouterr().out
    gate("c.yaml", "a.yaml", "b.yaml", "-f", "json")
    assert capsys.readouterr().out == first


def test_explain_shows_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert gate("--explain", "active-parameters") == 0
    assert "Mixtral" in capsys.readouterr().out


def test_a_baseline_is_written_and_taken(tree: Path) -> None:
    (tree / "a.yaml").write_text(FAILS)
    assert gate(".", "--write-baseline", "kept.json") == 1
    assert gate("a.yaml", "--baseline", "kept.json") == 0
    (tree / "moesize.toml").write_text('baseline = "kept.json"\n')
    assert gate("a.yaml") == 0


def git(*words: str) -> None:
    identity = ["-c", "user.email=a@example.com", "-c", "user.name=a", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *words], check=True, capture_output=True)


def test_a_diff_tells_what_a_change_adds(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy = tree / "repo" / "deploy"
    deploy.mkdir(parents=True)
    (deploy / "chat.yaml").write_text(SERVER % (8192, "fp8"))
    (deploy / "gone.yaml").write_text(FITS)
    (deploy / "same.yaml").write_text(FAILS)
    git("init", "-q", ".")
    git("add", "-A")
    git("commit", "-qm", "before")
    shutil.copytree(tree / "repo", tree / "base" / "repo")
    (deploy / "chat.yaml").write_text("# moved\n" + SERVER % (16384, "bf16"))
    (deploy / "gone.yaml").unlink()
    (deploy / "new.yaml").write_text("name: other\n" + FITS.replace("H200", "H100:2"))
    for base in ("HEAD", "base"):
        assert gate("repo/deploy", "--diff", base, "-f", "json") == 1
        found = json.loads(capsys.readouterr().out)
        changes = {one["file"]: one for one in found["changes"]}
        assert set(changes) == {"repo/deploy/chat.yaml", "repo/deploy/new.yaml", "repo/deploy/gone.yaml"}
        chat = changes["repo/deploy/chat.yaml"]
        before, after = (chat[state]["gpus"][0] for state in ("before", "after"))
        added = (after["total_bytes"] - before["total_bytes"]) / 2**30
        assert f"adds {added:.1f} GiB per GPU" in chat["text"]
        assert "weights fp8 → bf16" in chat["text"]
        assert f"largest context {before['max_context'] // 1024}k → {after['max_context'] // 1024}k" in chat["text"]
        assert changes["repo/deploy/gone.yaml"]["text"] == "removed"
        assert changes["repo/deploy/new.yaml"]["text"].startswith("new: fits")
    # from a folder below the top of the repository as well
    os.chdir(tree / "repo")
    assert gate("deploy", "--diff", "HEAD", "-f", "markdown") == 1
    table = [line for line in capsys.readouterr().out.splitlines() if "chat" in line and "adds" in line]
    assert len(table) == 1
    assert gate("deploy", "--diff", "no-such-revision") == 2
    assert gate("deploy", "--diff", "HEAD", "-f", "text") == 1
    assert "Changes:" in capsys.readouterr().out


def run_action(tree: Path, **inputs: str) -> tuple[int, str, dict[str, str], str]:
    """The action's second step with its inputs, as a runner starts it; moesize itself is this checkout's."""
    temp = tree / "runner"
    (temp / "moesize" / "bin").mkdir(parents=True, exist_ok=True)
    command = temp / "moesize" / "bin" / "moesize"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m moesize "$@"\n')
    command.chmod(0o755)
    output, summary = temp / "output", temp / "summary"
    output.write_text("")
    summary.write_text("")
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    step = action["runs"]["steps"][1]
    defaults = {name: str(given["default"]) for name, given in action["inputs"].items()}
    values = {**defaults, **{name.replace("_", "-"): value for name, value in inputs.items()}}
    variables = {
        name: values[expression.removeprefix("${{ inputs.").removesuffix(" }}")]
        for name, expression in step["env"].items()
    }
    environment = {
        **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        **variables,
        "PYTHONPATH": str(ROOT),
        "GITHUB_ACTION_PATH": str(ROOT),
        "RUNNER_TEMP": str(temp),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return done.returncode, done.stdout + done.stderr, outputs, summary.read_text()


def test_the_action_annotates_summarises_and_names_its_sarif_file(tree: Path) -> None:
    (tree / "a b.yaml").write_text(FAILS)
    (tree / "c.yaml").write_text(FITS)
    status, log, outputs, summary = run_action(tree, paths="a b.yaml\nc.yaml\n")
    assert (status, outputs) == (1, {"exit-status": "1", "sarif-file": "moesize.sarif"})
    assert "::error file=a b.yaml,line=1" in log
    assert "does not fit" in summary
    assert len(json.loads((tree / "moesize.sarif").read_text())["runs"][0]["results"]) > 0
    assert run_action(tree, paths="a b.yaml", fail_on="never")[0] == 0
    assert run_action(tree, paths="c.yaml", sarif_file="out.sarif")[2] == {
        "exit-status": "0",
        "sarif-file": "out.sarif",
    }
    status, log, outputs, summary = run_action(tree, paths="none", summary="false")
    assert (status, outputs, summary) == (2, {"exit-status": "2"}, "")


@pytest.mark.parametrize("text", ["$(touch pwned)", '"; touch pwned; "', "--help"])
def test_inputs_of_the_action_are_never_commands(tree: Path, text: str) -> None:
    (tree / "c.yaml").write_text(FITS)
    for name in ("paths", "gpu", "policy", "fail_on", "diff", "baseline"):
        status, log, outputs, _ = run_action(tree, **{"paths": "c.yaml", name: text})
        assert status == 2, (name, log)
        assert outputs == {"exit-status": "2"}
    assert not (tree / "pwned").exists()


def test_no_input_is_put_into_a_command_line() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert (ROOT / step["run"].partition("ACTION_PATH/")[2].rstrip('"')).is_file()
    wired = {expression for step in action["runs"]["steps"] for expression in step["env"].values()}
    assert wired == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}


def test_the_hook_starts_a_command_that_exists(tree: Path) -> None:
    hook = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))[0]
    program, *words = hook["entry"].split()
    assert program == "moesize"
    (tree / "a.yaml").write_text(FAILS)
    (tree / "b.yaml").write_text("a: 1\n")
    assert main([*words, "a.yaml", "b.yaml"]) == 1
    assert main([*words, "b.yaml"]) == 0
