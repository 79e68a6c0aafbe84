"""Every file or folder under `findings/` is gated and held against the `<name>.expect.yaml` beside it.

A folder is a tree with its own `moesize.toml`. An expectation gives each deployment's verdict and findings as
`level rule @line`, with what leaves it alone in brackets; `others` are findings about files and ignores. A new file with
its expectation is a new test.
"""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from moesize.gate.document import Position
from moesize.gate.estimator import Estimator
from moesize.gate.facts import Deployment, Fact, Source
from moesize.gate.layouts import spread
from moesize.gate.policy import find_policy, load_policy
from moesize.gate.results import FindingOut
from moesize.gate.rules import RULES
from moesize.gate.run import Run
from scripts.docgen import gate_rules

FIXTURES = Path(__file__).parent / "findings"
SUBJECTS = sorted(path for path in FIXTURES.iterdir() if not path.name.endswith(".expect.yaml"))
TODAY = date(2026, 12, 1)


def expectation(subject: Path) -> dict:
    name = subject.name if subject.is_dir() else subject.stem
    return yaml.safe_load((FIXTURES / f"{name}.expect.yaml").read_text(encoding="utf-8"))


def told(finding: FindingOut) -> str:
    alone = f" ({finding.suppressed})" if finding.suppressed else ""
    return f"{finding.level} {finding.rule} @{finding.line}{alone}"


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    """One memory of answers for all fixtures."""
    return Estimator()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda path: path.name)
def test_findings(subject: Path, estimator: Estimator) -> None:
    root = subject if subject.is_dir() else subject.parent
    policy = load_policy(find_policy(root) if subject.is_dir() else None)
    result = Run(root, policy, today=TODAY, estimator=estimator).gate([subject])
    wanted = expectation(subject)
    found = [
        {"name": one.name, "verdict": one.verdict, "findings": [told(f) for f in findings]}
        for one, findings in zip(result.deployments, result.by_deployment(), strict=True)
    ]
    assert found == [{"findings": [], **one} for one in wanted["deployments"]]
    others = [f"{told(one)} {one.file}" for one in result.findings if one.deployment is None]
    assert others == wanted.get("others", [])
    assert result.exit_status == wanted["exit_status"]


def test_every_rule_is_found_somewhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FIXTURES.glob("*.expect.yaml"))
    # what is tight depends on calibrated spreads: it has a test of its own
    assert [rule for rule in RULES if f" {rule} @" not in text] == ["tight"]


def test_a_length_between_fits_and_not_is_tight(tmp_path: Path) -> None:
    """Somewhere between a length that fits and one that does not there is the spread of what was measured."""
    form = "- {{model: meta-llama/Llama-3.1-8B-Instruct, gpu: L40S, gpu-memory-utilization: 0.6, context: {}}}\n"
    lengths = range(1024, 131_072, 1024)
    (tmp_path / "all.yaml").write_text("".join(form.format(n) for n in lengths))
    result = Run(tmp_path).gate([tmp_path])
    verdicts = [one.verdict for one in result.deployments]
    assert (verdicts[0], verdicts[-1]) == ("fits", "oom")
    assert verdicts == sorted(verdicts, key=["fits", "tight", "oom"].index)
    tight = [
        findings
        for one, findings in zip(result.deployments, result.by_deployment(), strict=True)
        if one.verdict == "tight"
    ]
    assert tight
    assert all([f.rule for f in findings] == ["tight"] and not findings[0].fails for findings in tight)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_has_a_page(rule) -> None:
    assert rule.summary.endswith(".")
    assert len(rule.page) > len(rule.summary) + 80
    assert "\n\n" in rule.page


def test_the_pages_are_in_the_documentation() -> None:
    page = gate_rules.PAGE.read_text(encoding="utf-8")
    assert page == gate_rules.refreshed(page), "run `python -m scripts.docgen`"
    for rule in RULES.values():
        assert f"### {rule.id}\n" in page
        assert rule.summary in page


def fact(value):
    return Fact(value, Source.STATED, Position("a.yaml"))


def deployment(engine: str, **facts) -> Deployment:
    base = Deployment("kubernetes", "Deployment", None, "x", None, Position("a.yaml"), engine=fact(engine))
    return replace(base, **{key: fact(value) for key, value in facts.items()})


@pytest.mark.parametrize(
    ("engine", "facts", "given", "layout", "needed"),
    [
        ("vllm", {}, 8, (1, 1, 1), 1),
        ("vllm", {"tensor_parallel": 8, "pipeline_parallel": 2}, 16, (8, 2, 1), 16),
        ("vllm", {"tensor_parallel": 2, "data_parallel": 4}, 8, (2, 1, 4), 8),
        ("tgi", {}, 4, (4, 1, 1), 4),
        ("llama.cpp", {}, 3, (1, 3, 1), 3),
        ("ollama", {}, None, (1, 1, 1), 1),
        # plain data parallelism of SGLang is so many servers; with attention data parallelism they share the GPUs
        ("sglang", {"tensor_parallel": 2, "data_parallel": 4}, 8, (2, 1, 1), 8),
        ("sglang", {"tensor_parallel": 16, "data_parallel": 16, "dp_attention": True}, 16, (1, 1, 16), 16),
        ("sglang", {"tensor_parallel": 16, "data_parallel": 4, "dp_attention": True}, 16, (4, 1, 4), 16),
    ],
)
def test_layouts_are_those_of_the_engine(engine, facts, given, layout, needed) -> None:
    found = spread(deployment(engine, **facts), gpus_given=given, experts=True)
    assert ((found.tp, found.pp, found.dp), found.gpus_needed) == (layout, needed)


def test_kaito_works_out_its_nodes(tmp_path: Path) -> None:
    """One A100 holds no 671 billion parameters, but without a count KAITO takes as many nodes as it needs."""
    text = "apiVersion: kaito.sh/v1beta1\nkind: Workspace\nmetadata: {name: big}\nresource:\n  instanceType: Standard_NC24ads_A100_v4\n"
    preset = "inference: {preset: {name: deepseek-v3-0324}}\n"
    (tmp_path / "one.yaml").write_text(text + preset)
    (tmp_path / "two.yaml").write_text(text + "  count: 2\n" + preset)
    result = Run(tmp_path).gate([tmp_path])
    assert [one.verdict for one in result.deployments] == ["undecided", "oom"]
