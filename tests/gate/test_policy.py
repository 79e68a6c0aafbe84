"""Policies, ignores and baselines: what they mean, what they refuse, and that their own text can do no harm."""

import tempfile
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesize.data import data_dir
from moesize.errors import InputError, MoesizeError
from moesize.gate.baseline import baseline_text, load_baseline
from moesize.gate.findings.base import Level
from moesize.gate.globs import matches_any
from moesize.gate.policy import Policy, fail_on, find_policy, load_policy, with_gpu
from moesize.gate.run import Run, baseline_keys, with_baseline
from moesize.units import GIB

SERVER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec:
  template:
    spec:
      nodeSelector: {nvidia.com/gpu.product: %s}
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.10.2
          args: [--model=meta-llama/Llama-3.1-70B-Instruct, --max-model-len=4096]
          resources: {limits: {nvidia.com/gpu: "1"}}
"""


def policy_of(tmp_path: Path, text: str, name: str = "moesize.toml") -> Policy:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_policy(path)


def test_overrides_apply_to_their_paths_in_order(tmp_path: Path) -> None:
    policy = policy_of(
        tmp_path,
        """
        context = 8192
        min-headroom = "2GiB"
        pools = {a = "L4"}
        [[override]]
        paths = ["deploy/dev/**"]
        context = 2048
        min-headroom = "5%"
        pools = {b = "T4"}
        [[override]]
        paths = ["deploy/dev/big.yaml"]
        context = 4096
        """,
    )
    assert policy.demands_for("deploy/prod/x.yaml").context_tokens == 8192
    assert policy.demands_for("deploy/prod/x.yaml").headroom_bytes == 2 * GIB
    dev = policy.demands_for("deploy/dev/x.yaml")
    assert (dev.context_tokens, dev.headroom_share, dev.headroom_bytes) == (2048, 0.05, 0)
    assert dev.pools == {"a": "L4", "b": "T4"}
    assert policy.demands_for("deploy/dev/big.yaml").context_tokens == 4096


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("contxt = 1", "did you mean context"),
        ("context = 0", "at least 1"),
        ("context = true", "whole number"),
        ('gpu = "H1000"', "H1000"),
        ('gpu = "A100"', "names several GPUs"),
        ('min-headroom = "lots"', "is not a size"),
        ("min-headroom = 5", "2GiB"),
        ('allowed-gpus = ["X9"]', "X9"),
        ('allowed-gpus = "H100"', "list of strings"),
        ("max-price = -1", "USD"),
        ('fail-on = "sometimes"', "sometimes"),
        ('levels = {tight = "fatal"}', "fatal"),
        ('levels = {tigt = "error"}', "did you mean tight"),
        ("[[override]]\ncontext = 1", "which `paths`"),
        ('[[override]]\npaths = ["x"]\nfail-on = "error"', "fail-on"),
        ('[[ignore]]\nrule = "tight"', "gives no reason"),
        ('[[ignore]]\nrule = "tght"\nreason = "x"', "did you mean tight"),
        ('[[ignore]]\nrule = "tight"\nreason = "x"\nuntil = "soon"', "write a date"),
        ("override = 3", "list of tables"),
        ("models = {a = 1}", "table of names"),
        ("= 1", "not valid TOML"),
        ("a = " + "[" * 20_000, "moesize.toml"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(MoesizeError) as caught:
        policy_of(tmp_path, text)
    assert says in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_an_error(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "moesize.toml"
        path.write_text(text, encoding="utf-8", errors="replace")
        with suppress(MoesizeError):
            load_policy(path)


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    assert find_policy(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert find_policy(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text("[tool.moesize]\ncontext = 4096\n")
    found = find_policy(tmp_path)
    assert load_policy(found).demands.context_tokens == 4096
    (tmp_path / "moesize.toml").write_text("context = 1024\n")
    assert load_policy(find_policy(tmp_path)).demands.context_tokens == 1024


@pytest.mark.parametrize(
    ("pattern", "file", "matches"),
    [
        ("deploy/**", "deploy/a/b.yaml", True),
        ("deploy", "deploy/a/b.yaml", True),
        ("deploy/", "deploy/a.yaml", True),
        ("deploy/*.yaml", "deploy/a/b.yaml", False),
        ("deploy/*.yaml", "deploy/b.yaml", True),
        ("**/b.yaml", "b.yaml", True),
        ("**/b.yaml", "x/y/b.yaml", True),
        ("./deploy/?.yaml", "deploy/b.yaml", True),
        ("dep", "deploy/b.yaml", False),
        ("a+b.yaml", "aab.yaml", False),
    ],
)
def test_globs(pattern: str, file: str, matches: bool) -> None:
    assert matches_any(file, [pattern]) is matches


@pytest.mark.parametrize(
    ("words", "levels"),
    [
        ("error", {"error"}),
        ("warning", {"error", "warning"}),
        ("undecided", {"error", "undecided"}),
        ("warning,undecided", {"error", "warning", "undecided"}),
        ("note", set(Level)),
        ("never", set()),
        (["gpu-count"], {"gpu-count"}),
    ],
)
def test_fail_on(words: str | list[str], levels: set[str]) -> None:
    assert fail_on(words) == levels


def test_a_default_gpu_decides_what_is_open(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SERVER.replace("      nodeSelector: {nvidia.com/gpu.product: %s}\n", "") % "x")
    assert Run(tmp_path).gate([tmp_path]).deployments[0].verdict == "undecided"
    small = Run(tmp_path, with_gpu(Policy(), "L4")).gate([tmp_path])
    assert (small.deployments[0].verdict, small.exit_status) == ("oom", 1)
    assert Run(tmp_path, with_gpu(Policy(), "B300")).gate([tmp_path]).exit_status == 0


def test_a_level_can_be_raised_and_turned_off(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text((SERVER % ("x", "NVIDIA-B300")).replace('"1"', '"2"'))
    assert [one.level for one in Run(tmp_path).gate([tmp_path]).findings] == ["warning"]
    raised = policy_of(tmp_path, 'levels = {gpu-count = "error"}')
    assert Run(tmp_path, raised).gate([tmp_path / "a.yaml"]).exit_status == 1
    off = policy_of(tmp_path, 'levels = {gpu-count = "off"}')
    assert Run(tmp_path, off).gate([tmp_path / "a.yaml"]).findings == []


def test_an_ignore_holds_through_its_last_day(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SERVER % ("x", "Tesla-T4"))
    policy = policy_of(tmp_path, '[[ignore]]\nrule = "does-not-load"\nreason = "demo"\nuntil = 2027-01-31')
    statuses = [
        Run(tmp_path, policy, today=day).gate([tmp_path / "a.yaml"]).exit_status
        for day in (date(2027, 1, 31), date(2027, 2, 1))
    ]
    assert statuses == [0, 1]


def test_a_comment_is_about_its_rule_only(tmp_path: Path) -> None:
    text = SERVER % ("x", "Tesla-T4")
    (tmp_path / "a.yaml").write_text(
        text.replace("          args", "          # moesize: ignore[tight] later\n          args")
    )
    assert Run(tmp_path).gate([tmp_path]).exit_status == 1
    (tmp_path / "a.yaml").write_text(
        text.replace("          args", "          # moesize: ignore[does-not-load, tight] later\n          args")
    )
    result = Run(tmp_path).gate([tmp_path])
    assert (result.exit_status, result.findings[0].reason) == (0, "later")


def test_a_baseline_holds_when_lines_move_and_not_for_other_objects(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(SERVER % ("old", "Tesla-T4"))
    before = Run(tmp_path).gate([file])
    kept = tmp_path / "baseline.json"
    kept.write_text(baseline_text(baseline_keys(before)))
    file.write_text("# moved\n\n\n" + SERVER % ("old", "Tesla-T4"))
    run = with_baseline(Run(tmp_path), kept)
    after = run.gate([file])
    assert after.exit_status == 0
    assert [one.suppressed for one in after.findings] == ["baseline"]
    assert baseline_text(baseline_keys(after)) == kept.read_text()
    file.write_text(SERVER % ("old", "Tesla-T4") + "---\n" + SERVER % ("new", "Tesla-T4"))
    again = run.gate([file])
    assert [(one.object.split("/")[1], one.suppressed) for one in again.findings] == [
        ("old", "baseline"),
        ("new", None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": "moesize.baseline/2"}',
        '{"schema": "moesize.baseline/1", "findings": 3}',
        "[" * 100_000,
    ],
)
def test_no_baseline(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(InputError, match="baseline"):
        load_baseline(path)


def test_a_model_of_the_policy_may_be_a_file_beside_it_and_one_of_a_manifest_may_not(tmp_path: Path) -> None:
    spec = (data_dir("model_specs") / "mixtral-8x7b.yaml").read_text()
    (tmp_path / "mixtral-8x7b.yaml").write_text(spec)
    manifest = tmp_path / "deploy.yaml"
    manifest.write_text("model: ./mixtral-8x7b.yaml\ngpu: B300\ncontext: 4096\n")
    # the name of a file that exists is no reason to open it
    undecided = Run(tmp_path).gate([manifest]).deployments[0]
    assert (undecided.verdict, undecided.model) == ("undecided", None)
    policy = policy_of(tmp_path, '[models]\n"./mixtral-8x7b.yaml" = "mixtral-8x7b.yaml"')
    decided = Run(tmp_path, policy).gate([manifest]).deployments[0]
    assert (decided.verdict, decided.model) == ("fits", "mixtral-8x7b")
