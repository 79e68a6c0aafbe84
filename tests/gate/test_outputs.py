"""Every format read back by a parser of its own, with names that try to break out of it."""

import html
import json
import re
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesize.gate.cleaning import clean
from moesize.gate.estimator import Estimator
from moesize.gate.results import GateResult
from moesize.gate.rules import RULES
from moesize.gate.run import Run
from moesize.report.gate import FORMATS, renderer

FIXTURES = Path(__file__).parent / "findings"

#: What GitHub's code scanning requires of a file, after its page on SARIF support, and the types of the specification.
SARIF = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "semanticVersion": {"type": "string", "pattern": r"^\d+\.\d+"},
                                    "informationUri": {"type": "string", "pattern": "^https://"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id", "shortDescription", "fullDescription", "help"],
                                            "properties": {
                                                "id": {"type": "string", "pattern": "^[a-z-]+$"},
                                                "name": {"type": "string", "pattern": "^[A-Za-z]{1,255}$"},
                                                "shortDescription": {"$ref": "#/definitions/message"},
                                                "fullDescription": {"$ref": "#/definitions/message"},
                                                "helpUri": {"type": "string", "pattern": "^https://"},
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "originalUriBaseIds": {"type": "object"},
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "properties": {"executionSuccessful": {"type": "boolean"}, "exitCode": {"type": "integer"}},
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
                            "properties": {
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"$ref": "#/definitions/message"},
                                "partialFingerprints": {
                                    "type": "object",
                                    "minProperties": 1,
                                    "additionalProperties": {"type": "string"},
                                },
                                "locations": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {"$ref": "#/definitions/location"},
                                },
                                "suppressions": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["kind"],
                                        "properties": {
                                            "kind": {"enum": ["inSource", "external"]},
                                            "justification": {"type": "string"},
                                        },
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
    "definitions": {
        "message": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}},
        "location": {
            "type": "object",
            "required": ["physicalLocation"],
            "properties": {
                "physicalLocation": {
                    "type": "object",
                    "required": ["artifactLocation", "region"],
                    "properties": {
                        "artifactLocation": {
                            "type": "object",
                            "required": ["uri"],
                            # relative, and of the characters a URI may have
                            "properties": {"uri": {"type": "string", "pattern": r"^(?![/\\])[\w.~!$&'()*+,;=@%/-]+$"}},
                        },
                        "region": {
                            "type": "object",
                            "properties": {
                                "startLine": {"type": "integer", "minimum": 1},
                                "startColumn": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                }
            },
        },
    },
}


def commands(log: str) -> list[tuple[str, dict[str, str], str]]:
    """The workflow commands a runner finds in a log, by the rules of actions/runner: `::name key=value,…::message` at the
    start of a trimmed line, and `##[name key=value;…]message` anywhere in one."""
    found = []
    for line in re.split(r"\r\n|\r|\n", log):
        if "##[" in line:
            found.append(("##", {}, line))
        match = re.match(r"\s*::([^\s:]+)(?:\s+(.*?))?::(.*)$", line)
        if match is None:
            continue
        pairs = (pair.partition("=") for pair in (match.group(2) or "").split(",") if pair)
        properties = {key: unescaped(value, {"%3A": ":", "%2C": ","}) for key, _, value in pairs}
        found.append((match.group(1), properties, unescaped(match.group(3), {})))
    return found


def unescaped(text: str, more: dict[str, str]) -> str:
    for escape, char in {"%0D": "\r", "%0A": "\n", **more, "%25": "%"}.items():
        text = text.replace(escape, char)
    return text


@pytest.fixture(scope="module")
def result() -> GateResult:
    """All fixtures in one run."""
    return Run(FIXTURES).gate([FIXTURES])


def test_json_is_the_result(result: GateResult) -> None:
    document = json.loads(renderer("json")(result))
    assert document["schema"] == "moesize.gate/1"
    assert "changes" not in document
    whole = asdict(result)
    del whole["changes"]
    assert document == whole
    summary = document["summary"]
    verdicts = ("fits", "tight", "oom", "refused", "undecided")
    assert sum(summary[verdict] for verdict in verdicts) == summary["deployments"] == len(document["deployments"])
    for one in document["findings"]:
        assert one["deployment"] is None or document["deployments"][one["deployment"]]["object"] == one["object"]
    for one in document["deployments"]:
        for gpu in one["gpus"]:
            if gpu["total_bytes"] is not None:
                parts = ("weights_bytes", "kv_cache_bytes", "activation_bytes", "runtime_bytes")
                assert sum(gpu[part] for part in parts) == gpu["total_bytes"]


def test_sarif_is_what_code_scanning_takes(result: GateResult) -> None:
    document = json.loads(renderer("sarif")(result))
    jsonschema.validate(document, SARIF)
    run = document["runs"][0]
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert ids == list(RULES)
    assert len(run["results"]) == len(result.findings)
    for shown, one in zip(run["results"], result.findings, strict=True):
        assert ids[shown["ruleIndex"]] == shown["ruleId"] == one.rule
        assert shown["locations"][0]["physicalLocation"]["region"]["startLine"] == one.line
        assert bool(shown.get("suppressions")) is (one.suppressed is not None)


def test_github_annotations_are_one_per_finding(result: GateResult) -> None:
    found = commands(renderer("github")(result))
    open_findings = [one for one in result.findings if one.suppressed is None]
    assert len(found) == len(open_findings)
    assert {name for name, _, _ in found} <= {"error", "warning", "notice"}
    assert sum(name == "error" for name, _, _ in found) == sum(one.fails for one in open_findings)
    assert [name for name, _, _ in found] == sorted(
        (name for name, _, _ in found), key=["error", "warning", "notice"].index
    )
    expected = {(one.file, str(one.line), f"moesize ({one.rule})") for one in open_findings}
    assert {(properties["file"], properties["line"], properties["title"]) for _, properties, _ in found} == expected
    for _, properties, message in found:
        assert message.startswith(f"{properties['file']}:{properties['line']}: ")


def test_junit_has_a_case_per_deployment(result: GateResult) -> None:
    root = ET.fromstring(renderer("junit")(result))
    cases = root.findall("testsuite/testcase")
    assert root.tag == "testsuites"
    assert len(cases) == int(root.attrib["tests"]) == len(result.deployments)
    failed = sum(any(one.fails for one in findings) for findings in result.by_deployment())
    assert len(root.findall(".//failure")) == int(root.attrib["failures"]) == failed
    assert len(root.findall(".//skipped")) == int(root.attrib["skipped"]) > 0
    for suite in root:
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
        assert {case.attrib["classname"] for case in suite} == {suite.attrib["name"]}


def test_markdown_has_a_row_per_deployment_of_as_many_cells_as_its_head(result: GateResult) -> None:
    rows = [line for line in renderer("markdown")(result).splitlines() if line.startswith("|")]
    assert len(rows) == len(result.deployments) + 2
    assert {row.count("|") for row in rows} == {rows[0].count("|")}


def test_text_ends_with_the_tally(result: GateResult) -> None:
    lines = renderer("text")(result).splitlines()
    assert lines[-1].startswith(f"{len(result.deployments)} deployments: ")
    assert sum(line.startswith("  ") and ": error " in line for line in lines) == result.summary.errors


HOSTILE = [
    "::set-output name=x::y",
    "x\n::error::injected",
    "x\r::stop-commands::now",
    "##[error]injected",
    "a%0A::error::injected",
    "[bold red]markup[/]",
    "\x1b[31mred\x1b[0m\x07",
    "\u202emirrored\u2066",
    "</failure><testcase name='x'/>",
    "]]>&amp;<![CDATA[",
    "<img src=x onerror=alert(1)>",
    "| a | b |\n| - |",
    "`code` **bold** ![x](https://evil.example/x.png) [x](javascript:1)",
    "@everyone https://evil.example www.evil.example",
    "\ud800 lone",
    "https://user:hunter2@host/model",
    "hf_abcdefghijklmnopqrstuvwxyz",
]


def plain(name: str, gpu: str = "A10G") -> str:
    return json.dumps({"name": name, "model": name or "x", "gpu": gpu or "x", "context": 4096})


def gated(tmp_path: Path, name: str, gpu: str) -> GateResult:
    text = plain(name, gpu)
    (tmp_path / "a.json").write_text(text)
    other = f"{json.dumps(name)}: 1"
    (tmp_path / "b.yaml").write_text(f"model: Qwen/Qwen3-8B\ngpu: T4\nquant: fp16\nname: {json.dumps(name)}\n{other}\n")
    return Run(tmp_path, estimator=ESTIMATOR, allow_empty=True).gate([tmp_path])


ESTIMATOR = Estimator()


def assert_harmless(found: GateResult) -> None:
    written = {name: renderer(name)(found) for name in FORMATS}
    for name, text in written.items():
        shown = text.encode("utf-8").decode("utf-8")
        controls = {c for c in shown if not c.isprintable()} - {"\n", "\u200b"}
        assert not controls, (name, controls)
    assert len(commands(written["github"])) == sum(one.suppressed is None for one in found.findings)
    for name in ("text", "json", "sarif", "junit", "markdown"):
        assert commands(written[name]) == []
    assert {name for name, _, _ in commands(written["github"])} <= {"error", "warning", "notice"}
    root = ET.fromstring(written["junit"])
    assert len(root.findall("testsuite/testcase")) == len(found.deployments)
    jsonschema.validate(json.loads(written["sarif"]), SARIF)
    tags = set(re.findall(r"<[^>]*>", written["markdown"]))
    assert tags <= {"<code>", "</code>", "<details>", "</details>"} | {
        t for t in tags if re.fullmatch(r"<summary>|</summary>", t)
    }
    outside = re.sub(r"<code>.*?</code>", "", written["markdown"])
    # an entity is never structure, but mentions and bare addresses are looked for in what is shown
    assert not re.search(r"\]\(|!\[", outside)
    assert not re.search(r"@\w|://", html.unescape(outside))
    rows = [line for line in written["markdown"].splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) <= 1
    for text in written.values():
        assert "hunter2" not in text
        assert "hf_abcdefghij" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_names(tmp_path: Path, name: str) -> None:
    assert_harmless(gated(tmp_path, name, "A10G"))
    assert_harmless(gated(tmp_path, "x", name))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([*HOSTILE, "a", ":", "\n", "|", "<", "&", "%", "#", "[", "@"]), max_size=6).map("".join),
    st.text(max_size=20),
)
def test_any_names_stay_names(tmp_path: Path, name: str, gpu: str) -> None:
    assert_harmless(gated(tmp_path, name, gpu))


def test_a_hostile_file_name_stays_a_name(tmp_path: Path) -> None:
    for name in (
        "::error::x.yaml",
        "a\nb.yaml",
        "x,line=9,title=y.yaml",
        "per%cent.yaml",
        "sp ace.yaml",
        "ä#?.yaml",
        "<b>.yaml",
    ):
        (tmp_path / name).write_text("model: Qwen/Qwen3-8B\ngpu: T4\nquant: fp32\n")
    found = Run(tmp_path, estimator=ESTIMATOR).gate([tmp_path])
    assert len(found.deployments) == 7
    assert_harmless(found)
    assert {properties["line"] for _, properties, _ in commands(renderer("github")(found))} == {"1"}


def test_secrets_of_a_manifest_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        """
apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec:
  template:
    spec:
      nodeSelector: {nvidia.com/gpu.product: Tesla-T4}
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.10.2
          command: [sh, -c, "vllm serve meta-llama/Llama-3.1-70B-Instruct --api-key hunter2 --max-model-len $HF_TOKEN"]
          env:
            - {name: HF_TOKEN, value: hf_abcdefghijklmnopqrstuv}
            - {name: API_KEY, value: hunter2}
          resources: {limits: {nvidia.com/gpu: "1"}}
"""
    )
    found = Run(tmp_path).gate([tmp_path])
    assert "unreadable-setting" in [one.rule for one in found.findings]
    for name in FORMATS:
        text = renderer(name)(found)
        assert "hunter2" not in text
        assert "hf_abc" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:secret@host/x", "https://***@host/x"),
        ("s3://bucket/x?X-Amz-Signature=abc&y=1", "s3://bucket/x?X-Amz-Signature=***&y=1"),
        ("hf_0123456789abcdefghij", "hf_***"),
        ("--api-key secret --x", "--api-key *** --x"),
        ("hf_transfer", "hf_transfer"),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, shown: str) -> None:
    assert clean(text) == shown
