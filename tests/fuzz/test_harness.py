"""The fuzz harness in small: a fixed seed on every surface, the same cases each time, and defects it must notice."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from moesize.errors import InputError
from moesize.gate.manifests import READERS as FORMATS
from moesize.quant.checkpoint import READERS as METHODS
from scripts.fuzz import expect, seeds, watch
from scripts.fuzz.case import Case, random_of
from scripts.fuzz.surfaces import SURFACES

ROOT = Path(__file__).parents[2]
SEED, CASES = 7, 15


def test_every_surface_holds_for_a_fixed_seed(tmp_path: Path) -> None:
    """In a process of its own: the harness bounds memory and sets the environment."""
    command = [
        sys.executable,
        "-m",
        "scripts.fuzz",
        "--cases",
        str(CASES),
        "--seed",
        str(SEED),
        "--keep",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{CASES * len(SURFACES)} cases, 0 failed (seed {SEED})" in done.stdout


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_a_case_follows_from_seed_surface_and_number(surface) -> None:
    made = [surface.make(random_of(SEED, surface.name, index), index) for index in (0, 1, 2, 1)]
    assert made[1] == made[3]
    assert len({repr(case) for case in made}) == 3
    assert surface.make(random_of(SEED + 1, surface.name, 1), 1) != made[1]


def test_every_quantisation_method_and_manifest_format_has_a_seed() -> None:
    assert {one["quant_method"] for one in seeds.QUANTISATIONS} == set(METHODS)
    assert len(seeds.manifests()) >= len(FORMATS) - 2  # two formats share the folders of others


HEADLINE = Case(("check", "mixtral-8x7b", "--gpu", "A10G", "--format", "json"))


def broken(monkeypatch: pytest.MonkeyPatch, raised: BaseException | None, does=lambda: None) -> list[str]:
    def size(*_: object, **__: object) -> None:
        does()
        if raised:
            raise raised

    monkeypatch.setattr("moesize.cli.check.size", size)
    return watch.run(HEADLINE).problems


def test_a_sound_case_is_without_problems() -> None:
    assert watch.run(HEADLINE).problems == []


def test_an_exception_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "KeyError" in broken(monkeypatch, KeyError("hidden_size"))[0]


def test_a_long_run_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def spin() -> None:
        while True:
            Random(1).random()

    monkeypatch.setattr(watch, "CPU_SECONDS", 0.2)
    assert "more than 0.2 s" in broken(monkeypatch, None, spin)[0]


def test_a_stray_file_and_an_endless_sentence_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = broken(monkeypatch, InputError(""), lambda: Path("pwned").write_text(""))
    assert any("not one sentence" in one for one in found)
    assert any("pwned" in one for one in found)


def test_raw_control_characters_and_other_files_are_noticed() -> None:
    assert any("control character" in one for one in expect.of_run(HEADLINE, 2, "", "moesize: \x1b[31m no\n"))
    assert any("outside the tree" in one for one in expect.of_run(Case(("gate", ".")), 0, "CANARY\n", ""))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda answer: answer["terms"][0].update(bytes=1), "come to"),
        (lambda answer: answer["per_gpu"].update(total_bytes=5), "total"),
        (lambda answer: answer["per_gpu"].update(headroom_bytes=5), "headroom"),
        (lambda answer: answer.update(verdict="fits", oom_at=None), "larger than the budget"),
        (lambda answer: answer["model"]["params"].update(active=10**15), "more active"),
    ],
)
def test_an_answer_that_contradicts_itself_is_noticed(change, says: str) -> None:
    answer = json.loads(watch.run(HEADLINE).out)
    change(answer)
    found = list(expect.of_output(HEADLINE, 1, json.dumps(answer)))
    assert any(says in one for one in found), found


def test_answers_that_contradict_each_other_are_noticed() -> None:
    answer = json.loads(watch.run(HEADLINE).out)
    less = {**answer, "per_gpu": {**answer["per_gpu"], "kv_cache_bytes": 0}}
    assert list(expect.between("context", answer, less))
    assert not list(expect.between("context", answer, answer))
