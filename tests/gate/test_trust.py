"""What the author of a change could try: a policy that reads elsewhere, a lock that makes a model small."""

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from moesize.cli.main import main
from moesize.data import data_dir
from moesize.errors import InputError
from moesize.gate.changes import compared
from moesize.gate.locked import LOCK_FOLDER
from moesize.gate.policy import find_policy, load_policy
from moesize.gate.results import GateResult
from moesize.gate.run import Run

MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
FORM = "model: {}\ngpu: L40S\ncontext: 256\n"
SPEC = """name: {name}
title: a model
config_source: https://example.org/config.json
as_of: '2026-11-21'
config:
  model_type: mixtral
  hidden_size: 4096
  intermediate_size: 14336
  num_hidden_layers: {layers}
  num_attention_heads: 32
  num_key_value_heads: {kv_heads}
  num_local_experts: 8
  num_experts_per_tok: 2
  vocab_size: 32000
  max_position_embeddings: 32768
  tie_word_embeddings: false
  torch_dtype: bfloat16
"""
BASELINE = '{"schema": "moesize.baseline/1", "findings": {}}'


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a checkout, with something that is none of its business beside it."""
    root = tmp_path / "checkout"
    root.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "spec.yaml").write_text(SPEC.format(name="spec", layers=2, kv_heads=8))
    (outside / "baseline.json").write_text(BASELINE)
    (outside / "moesize.toml").write_text("context = 128\n")
    (root / "a.yaml").write_text(FORM.format("/models/main"))
    monkeypatch.chdir(root)
    return root


def lock(root: Path, name: str, layers: int = 32, kv_heads: int = 8) -> Path:
    path = root / LOCK_FOLDER / f"{name.lower()}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SPEC.format(name=path.stem, layers=layers, kv_heads=kv_heads))
    return path


def rules(result: GateResult) -> list[str]:
    return [one.rule for one in result.findings]


@pytest.mark.parametrize(
    "policy",
    [
        'models = {"/models/main" = "../outside/spec.yaml"}',
        'models = {"/models/main" = "specs/../../outside/spec.yaml"}',
        'models = {"/models/main" = "/etc/hosts.json"}',
        'models = {"/models/main" = "link.yaml"}',
        'models = {"/models/main" = "folder/spec.yaml"}',
        'models = {"/models/main" = "a\\u0000.yaml"}',
        '[[override]]\npaths = ["x"]\nmodels = {"/models/main" = "../outside/spec.yaml"}',
        'baseline = "../outside/baseline.json"',
        'baseline = "folder/baseline.json"',
        'baseline = "/etc/passwd"',
    ],
)
@pytest.mark.parametrize("words", [(), ("--policy", "moesize.toml")], ids=["found", "named"])
def test_a_policy_of_the_tree_reads_nothing_outside(
    tree: Path, policy: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "link.yaml").symlink_to("../outside/spec.yaml")
    (tree / "folder").symlink_to("../outside")
    (tree / "moesize.toml").write_text(policy)
    assert main(["gate", "a.yaml", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "leads out of" in captured.err
    assert "root:" not in captured.err


@pytest.mark.parametrize("name", ["moesize.toml", ".moesize.toml", "pyproject.toml"])
@pytest.mark.parametrize("named", [False, True])
def test_a_policy_that_is_a_link_out_of_the_tree_is_refused(
    tree: Path, name: str, named: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / name).symlink_to("../outside/moesize.toml")
    assert main(["gate", "a.yaml", *(("--policy", name) if named else ())]) == 2
    assert f"{name} is a link that leads out of" in capsys.readouterr().err


def test_files_of_the_tree_serve_its_policy(tree: Path) -> None:
    (tree / "specs").mkdir()
    (tree / "specs" / "main.yaml").write_text(SPEC.format(name="main", layers=2, kv_heads=8))
    (tree / "link.yaml").symlink_to("specs/main.yaml")
    (tree / "baseline.json").write_text(BASELINE)
    (tree / "ci").mkdir()
    for place, reference in (("moesize.toml", "link.yaml"), ("ci/policy.toml", "../specs/main.yaml")):
        (tree / place).write_text(f'models = {{"/models/main" = "{reference}"}}')
        result = Run(tree, load_policy(tree / place, tree)).gate([tree / "a.yaml"])
        assert [(one.model, one.verdict) for one in result.deployments] == [("main", "fits")]


def test_a_policy_from_elsewhere_reads_beside_itself_and_no_further(tree: Path, tmp_path: Path) -> None:
    policy = tmp_path / "outside" / "policy.toml"
    policy.write_text('baseline = "baseline.json"\nmodels = {"/models/main" = "spec.yaml"}')
    assert main(["gate", "a.yaml", "--policy", str(policy)]) == 0
    policy.write_text('models = {"/models/main" = "../checkout/spec.yaml"}')
    assert main(["gate", "a.yaml", "--policy", str(policy)]) == 2


def test_a_spec_of_the_tree_builds_on_nothing_outside(tree: Path) -> None:
    (tree / "main.yaml").write_text("name: main\ntitle: x\nconfig_source: x\nas_of: '2026-01-01'\nbase: other\n")
    (tree / "other.yaml").symlink_to("../outside/spec.yaml")
    (tree / "moesize.toml").write_text('models = {"/models/main" = "main.yaml"}')
    result = Run(tree, load_policy(find_policy(tree), tree)).gate([tree / "a.yaml"])
    assert result.deployments[0].verdict == "undecided"
    assert "leads out of" in result.findings[0].message


def test_a_lock_cannot_make_a_model_of_the_catalogue_small(tree: Path) -> None:
    (tree / "a.yaml").write_text(FORM.format(MIXTRAL))
    honest = Run(tree).gate([tree / "a.yaml"])
    lock(tree, MIXTRAL, layers=2)
    shrunk = Run(tree).gate([tree / "a.yaml"])
    assert asdict(honest.deployments[0]) == asdict(shrunk.deployments[0])
    assert rules(shrunk) == [*rules(honest), "contradicting-lock"]
    message = shrunk.findings[-1].message
    assert ".moesize/models/mistralai/mixtral-8x7b-instruct-v0.1.yaml says 3.165 instead of 46.7 billion" in message


def test_a_lock_that_says_what_the_catalogue_says_is_no_finding(tree: Path) -> None:
    (tree / "a.yaml").write_text(FORM.format(MIXTRAL))
    before = rules(Run(tree).gate([tree / "a.yaml"]))
    lock(tree, MIXTRAL)
    assert rules(Run(tree).gate([tree / "a.yaml"])) == before
    (tree / "a.yaml").write_text(FORM.format("our-org/Mixtral-8x7B-Instruct-v0.1-AWQ"))
    lock(tree, "our-org/Mixtral-8x7B-Instruct-v0.1-AWQ")
    assert "contradicting-lock" not in rules(Run(tree).gate([tree / "a.yaml"]))


@pytest.mark.parametrize("change", [{"layers": 16}, {"kv_heads": 1}], ids=["fewer layers", "a smaller cache"])
@pytest.mark.parametrize("name", [MIXTRAL, "our-org/Mixtral-8x7B-Instruct-v0.1", "our-org/Mixtral-8x7B-v0.1-gptq-int4"])
def test_a_smaller_lock_of_a_known_name_is_told(tree: Path, name: str, change: dict[str, int]) -> None:
    (tree / "a.yaml").write_text(FORM.format(name))
    lock(tree, name, **change)
    assert "contradicting-lock" in rules(Run(tree).gate([tree / "a.yaml"]))


@pytest.mark.parametrize("text", ["", "[" * 5000, "name: x\n"])
def test_a_broken_lock_of_a_known_model_is_told_and_not_believed(tree: Path, text: str) -> None:
    (tree / "a.yaml").write_text(FORM.format(MIXTRAL))
    lock(tree, MIXTRAL).write_text(text)
    result = Run(tree).gate([tree / "a.yaml"])
    assert result.deployments[0].verdict == "oom"
    assert "contradicting-lock" in rules(result)


def test_a_lock_that_is_a_link_out_of_the_tree_is_not_read(tree: Path) -> None:
    (tree / "a.yaml").write_text(FORM.format("our-org/model"))
    place = lock(tree, "our-org/model")
    place.unlink()
    place.symlink_to(tree.parent / "outside" / "spec.yaml")
    result = Run(tree).gate([tree / "a.yaml"])
    assert result.deployments[0].verdict == "undecided"
    assert "leads out of" in result.findings[0].message


def test_what_a_change_does_to_locks_is_shown(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tree.parent / "base"
    (tree / "a.yaml").write_text(FORM.format("our-org/model"))
    for name in ("our-org/model", "our-org/same", "our-org/gone"):
        lock(tree, name)
    shutil.copytree(tree, base)
    lock(tree, "our-org/model", layers=2)
    lock(tree, "our-org/new", layers=2)
    (tree / LOCK_FOLDER / "our-org" / "gone.yaml").unlink()
    run = Run(tree)
    result = compared(run, run.gate([tree / "a.yaml"]), [tree / "a.yaml"], str(base))
    texts = {one.object: one.text for one in result.changes or []}
    assert "does not fit → fits" in texts.pop("Check/our-org/model")
    assert texts == {
        "locked spec our-org/gone": "removed",
        "locked spec our-org/model": "now says 3.165 instead of 46.7 billion parameters, 5.895 instead of 86.99 GiB of"
        " weights as stored, 8 instead of 128 KiB of cache a token",
        "locked spec our-org/new": "new: 3.165 billion parameters",
    }
    for fmt in ("text", "markdown", "json"):
        main(["gate", "a.yaml", "--diff", str(base), "--format", fmt])
        assert "locked spec our-org/new" in capsys.readouterr().out


def test_locks_of_a_revision_are_compared(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "a.yaml").write_text(FORM.format("our-org/model"))
    lock(tree, "our-org/model")
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *words], cwd=tree, check=True)
    lock(tree, "our-org/model", layers=2)
    main(["gate", "a.yaml", "--diff", "HEAD", "--format", "json"])
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert [one["object"] for one in changes] == ["Check/our-org/model", "locked spec our-org/model"]


def test_the_catalogue_is_not_within_reach_of_a_tree(tree: Path) -> None:
    (tree / "moesize.toml").write_text(f'models = {{x = "{data_dir("model_specs") / "mixtral-8x7b.yaml"}"}}')
    with pytest.raises(InputError, match="leads out of"):
        load_policy(find_policy(tree), tree)
