"""Every file under `manifests/<format>/` is read and held against the `<name>.expect.yaml` beside it.

A folder is read as one tree against the expectation of its name. In an expectation each entry of `deployments` lists the
facts to hold (`null`: the file does not say); `at` gives lines and `source` the origin of facts; `notes` are
`kind setting @line`, all of them. `problems` are `kind @line`. A new file with its expectation is a new test.
"""

from pathlib import Path

import pytest
import yaml

from moesize.gate.facts import Deployment, Fact
from moesize.gate.read import read_deployments

FIXTURES = Path(__file__).parent / "manifests"
EXPECTATIONS = sorted(FIXTURES.glob("*/*.expect.yaml"))
SUBJECTS = sorted(
    path for path in FIXTURES.glob("*/*") if not path.name.endswith(".expect.yaml") and not path.name.startswith(".")
)


def stem(path: Path) -> str:
    return path.name if path.is_dir() else path.name.partition(".")[0]


def shown(deployment: Deployment, key: str):
    if key == "gpus":
        return [c.name.value + (f":{c.count.value}" if c.count else "") for c in deployment.gpus]
    if key == "candidates":
        return [name.value for name in deployment.model_candidates]
    if key == "notes":
        return [f"{note.kind} {note.setting} @{note.where.line}" for note in deployment.notes]
    if key == "ignores":
        return {name: fact.value for name, fact in deployment.ignores.items()}
    if key == "file":
        return deployment.where.file
    if key == "line":
        return deployment.where.line
    value = getattr(deployment, key)
    return value.value if isinstance(value, Fact) else value


def fact(deployment: Deployment, key: str) -> Fact:
    return deployment.gpus[0].name if key == "gpus" else getattr(deployment, key)


def test_every_file_has_an_expectation():
    expected = {(path.parent.name, path.name.removesuffix(".expect.yaml")) for path in EXPECTATIONS}
    assert {(path.parent.name, stem(path)) for path in SUBJECTS} == expected


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_manifest(subject: Path):
    expectation = yaml.safe_load((subject.parent / f"{stem(subject)}.expect.yaml").read_text(encoding="utf-8"))
    root = subject if subject.is_dir() else subject.parent
    result = read_deployments([subject], root=root)
    assert [f"{p.kind} @{p.where.line}" for p in result.problems] == expectation.get("problems", [])
    wanted = expectation.get("deployments", [])
    assert [d.name for d in result.deployments] == [w["name"] for w in wanted]
    for deployment, entry in zip(result.deployments, wanted, strict=True):
        at, source = entry.pop("at", {}), entry.pop("source", {})
        assert {key: shown(deployment, key) for key in entry} == entry
        assert {key: fact(deployment, key).where.line for key in at} == at
        assert {key: fact(deployment, key).source.name.lower() for key in source} == source
