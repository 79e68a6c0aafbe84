"""Every entry of the catalogue, and the names it is found by."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest

from moesize.data import data_dir
from moesize.errors import InputError, MoesizeError, NotSizeableError, UnknownNameError
from moesize.model import catalogue, names
from moesize.model.build_index import build_index, rendered
from moesize.model.figures import agrees, own_count, parse_figure
from moesize.model.spec_file import load_spec_file, read_document

ALL = catalogue.all_names()


@pytest.mark.parametrize("name", ALL)
def test_an_entry_loads_has_sources_and_counts_what_was_published(name: str) -> None:
    document = read_document(catalogue.spec_path(name))
    assert str(document["config_source"]).startswith("https://")
    assert dt.date.fromisoformat(str(document["as_of"])) >= dt.date(2023, 1, 1)
    if "undisclosed" in document:
        with pytest.raises(NotSizeableError, match=r".{40}"):
            load_spec_file(catalogue.spec_path(name))
        return
    spec = load_spec_file(catalogue.spec_path(name))
    assert spec.name == name
    assert spec.params.total > 10**6
    assert 0 < spec.params.active <= spec.params.total
    for figure in spec.published:
        assert figure.source.startswith("https://"), figure
        count = own_count(spec, figure.what)
        if not agrees(figure, count):
            assert figure.note, f"{figure.what}: published {figure.value:.6g}, counted {count:,}, and no note says why"
            assert count == pytest.approx(figure.value, rel=0.03)


def test_the_catalogue_is_as_large_as_promised() -> None:
    index, _ = build_index(data_dir("model_specs"))
    assert len(index["models"]) >= 150
    assert sum((entry.get("routed") or 0) > 1 for entry in index["models"].values()) >= 80


def test_most_entries_have_a_published_figure() -> None:
    documents = [read_document(catalogue.spec_path(name)) for name in ALL]
    assert sum(bool(document.get("published")) for document in documents) >= 0.7 * len(documents)


def test_the_index_is_fresh_and_no_two_names_collide() -> None:
    index, problems = build_index(data_dir("model_specs"))
    assert problems == []
    assert (data_dir("model_specs") / "index.json").read_text(encoding="utf-8") == rendered(index), (
        "run `python -m moesize.model.build_index`"
    )


@pytest.mark.parametrize(
    ("typed", "name", "quant"),
    [
        ("mixtral-8x7b", "mixtral-8x7b", None),
        ("Mixtral_8x7B", "mixtral-8x7b", None),
        ("mixtral 8x7b", "mixtral-8x7b", None),
        ("mixtral:8x7b", "mixtral-8x7b", None),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b", None),
        ("TheBloke/Mixtral-8x7B-v0.1-GPTQ", "mixtral-8x7b", "gptq-4bit"),
        ("mixtral-8x7b-instruct-awq", "mixtral-8x7b", "awq-4bit"),
        ("mixtral:8x7b-instruct-v0.1-q4_K_M", "mixtral-8x7b", "q4_k_m"),
        ("llama3.1:8b", "llama-3.1-8b", None),
        ("llama-3-1-8b", "llama-3.1-8b", None),
        ("Meta-Llama-3.1-8B-Instruct-bnb-4bit", "llama-3.1-8b", "bnb-nf4"),
        ("gpt-oss:20b", "gpt-oss-20b", None),
        ("Qwen/Qwen3-30B-A3B-FP8", "qwen3-30b-a3b-fp8", None),
        ("qwen3-30b-a3b-gptq-int4", "qwen3-30b-a3b", "gptq-4bit"),
        ("Qwen3-30B-A3B-IQ4_XS.gguf", "qwen3-30b-a3b", "iq4_xs"),
        ("unsloth/Qwen3-30B-A3B-GGUF", "qwen3-30b-a3b", "gguf"),
        ("mixtral-8x22", "mixtral-8x22b", None),
        ("deepseek-r1", "deepseek-r1", None),
    ],
)
def test_names_as_people_type_them(typed: str, name: str, quant: str | None) -> None:
    found = catalogue.find(typed)
    assert (found.name, found.quant_hint) == (name, quant)


@pytest.mark.parametrize("name", ALL)
def test_every_entry_is_found_by_its_own_name(name: str) -> None:
    assert catalogue.find(name) == (name, None)


def test_a_beginning_of_several_names_lists_them() -> None:
    with pytest.raises(InputError, match=r"could be any of .*llama-2-13b, llama-2-70b, llama-2-7b"):
        catalogue.find("llama-2")


@pytest.mark.parametrize(
    ("typed", "name"),
    [("gpt-oss-120", "gpt-oss-120b"), ("llama3.1 8", "llama-3.1-8b"), ("qwen3-14", "qwen3-14b")],
)
def test_a_beginning_means_the_model_and_not_the_heads_called_after_it(typed: str, name: str) -> None:
    assert catalogue.find(typed).name == name


def test_a_name_wins_only_over_names_that_add_to_it() -> None:
    known = {
        "x-120-b": "x-120b",
        "org-x-120-b-head": "head-x-120b",
        "x-120-b-head": "head-x-120b",
        "head-x-120-b": "head-x-120b",
    }
    assert names.resolve("x-120", known).name == "x-120b"
    assert names.resolve("x-120b-head", known).name == "head-x-120b"
    assert names.resolve("head", known).name == "head-x-120b"
    for other in ("x-121-b", "x-120-b-2"):  # another size, or another version by a name of its own
        with pytest.raises(InputError, match="could be any of"):
            names.resolve("x", {"x-120-b": "x-120b", other: other})
    with pytest.raises(InputError, match="could be any of"):  # an alias of another model is no addition
        names.resolve("x", {"x-120-b": "x-120b", "x-35-b": "y"})


def test_a_number_is_never_taken_for_a_longer_one() -> None:
    known = {names.canonical(n): n for n in ("qwen3-30b-a3b", "qwen3-3b")}
    assert names.resolve("qwen3-3b", known).name == "qwen3-3b"
    with pytest.raises(UnknownNameError):
        names.resolve("qwen3-3", {"qwen-3-30-b": "qwen3-30b"})


def test_dots_keep_numbers_apart() -> None:
    assert names.canonical("llama3.1:8b") == names.canonical("Llama_3.1 8B") == "llama-3-1-8-b"
    assert names.canonical("gemma-3-12b") != names.canonical("gemma-31-2b")


def test_an_unknown_name_says_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean mixtral-8x7b"):
        catalogue.find("mixtrall-8x7b")
    for typed in ("", "!!", "7", "x" * 5000):
        with pytest.raises(MoesizeError):
            catalogue.find(typed)


def test_a_quantised_copy_with_a_spec_of_its_own_is_preferred_to_a_hint() -> None:
    known = {"qwen-3-8-b": "qwen3-8b", "qwen-3-8-b-fp-8": "qwen3-8b-fp8"}
    assert names.resolve("someone/Qwen3-8B-Instruct-FP8", known) == ("qwen3-8b-fp8", None)
    assert names.resolve("someone/Qwen3-8B-Instruct-AWQ", known) == ("qwen3-8b", "awq-4bit")


@pytest.mark.parametrize(
    ("printed", "figure"),
    [
        ("46.7B", (46.7e9, 1e8)),
        ("236B", (236e9, 1e9)),
        ("1.6T", (1.6e12, 1e11)),
        (46702792704, (46702792704, 0)),
        ("619m", (619e6, 1e6)),
    ],
)
def test_figures_keep_how_they_were_rounded(printed: object, figure: tuple[float, float]) -> None:
    assert parse_figure(printed, "here") == pytest.approx(figure)


@pytest.mark.parametrize("wrong", ["46.7", "B", "1.2.3B", "-3B", "nanB", "infB", 0, -4, True, 3.5, None, "4e9B", "٣B"])
def test_a_figure_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="here: value is"):
        parse_figure(wrong, "here")


GOOD = """
name: {name}
title: A title
config_source: https://example.org
as_of: 2026-01-01
config: {{model_type: mixtral, hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2,
  intermediate_size: 128, num_local_experts: 4, num_experts_per_tok: 2, vocab_size: 100}}
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_base_is_laid_under(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", GOOD.format(name="a"))
    over = "name: b\ntitle: B\nconfig_source: https://e.org\nas_of: 2026-01-01\nbase: a\nconfig: {num_local_experts: 8, sliding_window: null}\n"
    spec = load_spec_file(write(tmp_path / "b.yaml", over))
    assert spec.experts.routed == 8
    assert spec.num_layers == 2
    assert spec.name == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.format(name="a") + "colour: red\n", "unknown key 'colour'"),
        (GOOD.format(name="a").replace("as_of: 2026-01-01\n", ""), "as_of is missing"),
        (GOOD.format(name="a").replace("hidden_size: 64, ", ""), "hidden_size is missing"),
        (GOOD.format(name="a").replace("hidden_size: 64", "hidden_size: -64"), "hidden_size is -64"),
        (
            GOOD.format(name="a").replace("model_type: mixtral", "model_type: mixtrl"),
            "unknown model_type 'mixtrl'; did you mean mixtral",
        ),
        (GOOD.format(name="a") + "base: a\n", "leads in a circle"),
        (GOOD.format(name="a") + "base: ../../etc/passwd\n", "is no spec beside it"),
        (GOOD.format(name="a") + "published: [{what: total}]\n", "value is None"),
        (GOOD.format(name="a") + "published: [{what: size, value: 1B, source: x}]\n", "what is 'size'"),
        (GOOD.format(name="a") + "published: [{what: total, value: 1B, source: x, by: me}]\n", "unknown key 'by'"),
        (GOOD.format(name="a") + "published: 3\n", "expected a list"),
        (GOOD.format(name="a") + "counts: {}\n", "exactly one of config, counts, undisclosed"),
        ("name: a\n  title: [", "line 2 is not valid YAML"),
        ("- a list", "no mapping"),
    ],
)
def test_a_wrong_spec_file_is_named_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MoesizeError) as caught:
        load_spec_file(write(tmp_path / "a.yaml", text))
    assert message in str(caught.value)
    assert "a.yaml" in str(caught.value) or "model_type" in message


def catalogue_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "data_dir", lambda _: folder)
    catalogue._index.cache_clear()
    catalogue._index_text.cache_clear()
    catalogue._current_names.cache_clear()


@pytest.fixture
def own_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("alpha-1b", "beta-2b"):
        write(
            tmp_path / f"{name}.yaml",
            GOOD.format(name=name) + f"aliases: [{name[0]}-alias]\nhub_ids: [Org/{name}-HF]\n",
        )
    catalogue_in(tmp_path, monkeypatch)
    yield tmp_path
    catalogue._index.cache_clear()
    catalogue._index_text.cache_clear()
    catalogue._current_names.cache_clear()


def test_without_an_index_the_files_are_read(own_catalogue: Path) -> None:
    assert catalogue.find("a-alias").name == "alpha-1b"
    assert catalogue.find("org/beta-2b-hf").name == "beta-2b"


def test_a_stale_index_is_corrected_by_the_files(own_catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, _ = build_index(own_catalogue)
    (own_catalogue / "index.json").write_text(rendered(index), encoding="utf-8")
    (own_catalogue / "beta-2b.yaml").unlink()
    write(own_catalogue / "gamma-3b.yaml", GOOD.format(name="gamma-3b"))
    catalogue_in(own_catalogue, monkeypatch)
    assert catalogue.find("gamma 3B").name == "gamma-3b"
    assert catalogue.find("alpha-1b").name == "alpha-1b"
    with pytest.raises(UnknownNameError):
        catalogue.find("b-alias")


def test_a_broken_index_is_as_good_as_none(own_catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_catalogue / "index.json").write_text("{not json", encoding="utf-8")
    catalogue_in(own_catalogue, monkeypatch)
    assert catalogue.find("alpha-1b").name == "alpha-1b"


def test_a_broken_spec_hides_no_other(own_catalogue: Path) -> None:
    write(own_catalogue / "broken.yaml", "name: [")
    assert catalogue.find("beta-2b").name == "beta-2b"


def test_two_files_with_one_name_are_a_problem(own_catalogue: Path) -> None:
    write(own_catalogue / "delta.yaml", GOOD.format(name="delta") + "aliases: [Alpha_1B]\n")
    _, problems = build_index(own_catalogue)
    assert problems == ["delta: the name 'alpha-1-b' also belongs to alpha-1b"]


def test_lists_and_searches_read_the_index_alone() -> None:
    found = catalogue.search("qwen3 a3b")
    assert "qwen3-30b-a3b" in found
    assert not {"qwen3-32b", "qwen3-235b-a22b", "llama-3.1-8b"} & set(found)
    entry = catalogue.models()["mixtral-8x7b"]
    assert (entry["total"], entry["active"], entry["routed"], entry["per_token"]) == (46702792704, 12879925248, 8, 2)


@pytest.mark.parametrize(
    ("name", "word", "has"),
    [
        ("qwen3-30b-a3b", "a3b", True),
        ("qwen3-30b-a3b", "30b", True),
        ("qwen3-30b-a3b", "3b", True),
        ("qwen3-30b-a3b", "0b", False),
        ("qwen3-30b-a3b", "a", True),
        ("qwen3-30b-a3b", "w", False),
        ("qwen3-235b-a22b", "a3b", False),
        ("mistral-3-large-3b", "a3b", False),
        ("mixtral-8x7b", "mixtr", True),
        ("mixtral-8x7b", "xtral", False),
        ("mixtral-8x7b", "8x", True),
        ("mixtral-8x7b", "", False),
    ],
)
def test_words_are_found_whole(name: str, word: str, has: bool) -> None:
    assert names.has_word(names.canonical(name), names.canonical(word)) is has


@pytest.mark.parametrize("text", ["a3b", "moonlight a3b", "A3B  moonlight", "16b-a3b"])
def test_a_search_finds_every_word_and_nothing_else(text: str) -> None:
    found = catalogue.search(text)
    assert "moonlight-16b-a3b" in found
    for name, entry in found.items():
        assert "a3b" in f"{name} {entry['title']}".lower() or name == "qwen3-coder-next"


@pytest.mark.parametrize("text", ["", "  ", "!!", "mixtral !!zzz"])
def test_a_search_for_nothing_finds_nothing(text: str) -> None:
    assert catalogue.search(text) == {}


def test_one_question_parses_one_file_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = """
import json, sys
import yaml
parsed = []
real = yaml.load
def counted(*a, **k):
    parsed.append(1)
    return real(*a, **k)
yaml.load = counted
from moesize.model.loader import load_model
spec = load_model("mixtral-8x7b")
heavy = sorted(m for m in sys.modules if m.split(".")[0] in ("torch", "transformers", "huggingface_hub", "numpy", "gguf")
               or m in ("moesize.model.gguf", "moesize.model.safetensors", "moesize.model.hub", "moesize.model.stored"))
print(json.dumps([len(parsed), heavy, spec.params.total]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, [], 46702792704]
