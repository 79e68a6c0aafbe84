"""Every command in README and docs runs; every output shown is what is printed now."""

import re
from pathlib import Path

import pytest

from scripts.docgen import blocks as docs

PAGES = [path for path in docs.pages() if any(docs.blocks(path.read_text(encoding="utf-8")))]


def _ids(path: Path) -> str:
    return str(path.relative_to(docs.ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_commands_print_what_the_page_shows(page: Path) -> None:
    with docs.playground():
        for block in docs.blocks(page.read_text(encoding="utf-8")):
            if block.kind == "console":
                assert block.text.splitlines() == docs.expected(block), "run `python -m scripts.docgen`"


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_commands_of_a_page_are_answered(page: Path) -> None:
    with docs.playground():
        for block in docs.blocks(page.read_text(encoding="utf-8")):
            for command in docs.commands(block) if block.kind == "sh" else ():
                if not command.startswith(docs.ONLINE):
                    status, printed = docs.run(command)
                    assert status in (0, 1), [command, *printed]


#: Commands a page shows in plain text, and why no test runs them.
NOT_RUN = {
    "moesize model add org/name": "writes what the Hub says of a repository that does not exist",
    "moesize check org/name --gpu H100": "asks the Hub for a repository that does not exist",
    "moesize probe mixtral-8x7b --quant gptq-4bit": "allocates on a GPU",
    "moesize probe deepseek-v3 --tp 8 --rank 0 --layers 1": "allocates on a GPU",
    "moesize probe --gpu-info": "asks the driver of a GPU",
    "moesize probe llama-3.1-8b --save card.yaml": "allocates on a GPU",
}


def test_no_command_is_shown_unrun_without_a_reason() -> None:
    fences = re.compile(r"^ *```text\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    shown = {
        line.partition("  #")[0].strip()
        for page in docs.pages()
        if page.parent.name != "reference"  # what a schema is of, generated
        for text in fences.findall(page.read_text(encoding="utf-8"))
        for line in text.splitlines()
        if line.startswith("moesize ")
    }
    assert shown == set(NOT_RUN)


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_python_shown_runs(name: str) -> None:
    text = (docs.ROOT / name).read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), {})


def test_files_shown_are_the_files() -> None:
    for page in docs.pages():
        text = page.read_text(encoding="utf-8")
        assert docs.with_files(text) == text, "run `python -m scripts.docgen`"


def test_the_main_commands_are_shown_with_their_output() -> None:
    readme = (docs.ROOT / "README.md").read_text(encoding="utf-8")
    first_words = {
        one.command.split()[1]
        for path in PAGES
        for block in docs.blocks(path.read_text(encoding="utf-8"))
        if block.kind == "console"
        for one in docs.shown(block)
        if one.command.startswith("moesize ")
    }
    assert {"check", "compare", "plan", "explain", "gpus", "models", "quants"} <= first_words
    assert "```console" in readme
