"""What Tab offers, asked as the shell asks."""

import os
import subprocess
import sys

import pytest

from moesize import load_gpu
from moesize.cli import completion
from moesize.engines import ENGINES
from moesize.hardware.gpu import list_gpus
from moesize.model import catalogue
from moesize.quant.catalogue import list_quants

RUN = [sys.executable, "-c", "import sys; sys.argv[0] = 'moesize'; from moesize.entry import run; run()"]


def tab(line: str) -> list[str]:
    """What bash is offered for the last word of a line."""
    asked = {"_MOESIZE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = subprocess.run(RUN, capture_output=True, text=True, env={**os.environ, **asked}, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("moesize check mixtral-8x7", ["mixtral-8x7b"]),
        ("moesize report llama-3.1-8b mixtral-8x7", ["mixtral-8x7b"]),
        ("moesize check mixtral-8x7b --gpu a10g", ["a10g"]),
        ("moesize check mixtral-8x7b --gpu nvidia-a10g", ["nvidia-a10g"]),
        ("moesize compare mixtral-8x7b --gpu l4,a10g", ["l4,a10g"]),
        ("moesize plan mixtral-8x7b --gpu al", ["all"]),
        ("moesize check mixtral-8x7b --quant gptq-4", ["gptq-4bit"]),
        ("moesize report mixtral-8x7b --quant stored,gptq-4", ["stored,gptq-4bit"]),
        ("moesize check mixtral-8x7b --engine sg", ["sglang"]),
        ("moesize explain ./some/pa", []),
        ("moesize repo", ["report"]),
    ],
)
def test_tab(line: str, offered: list[str]) -> None:
    assert tab(line) == offered


@pytest.mark.parametrize(
    "asked",
    [
        {"_MOESIZE_COMPLETE": "complete_zsh"},
        {"_MOESIZE_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    ],
    ids=["zsh", "fish"],
)
def test_tab_in_other_shells(asked: dict[str, str]) -> None:
    for line, offered in (
        ("moesize check mixtral-8x7", "mixtral-8x7b"),
        ("moesize check mixtral-8x7b --gpu a10g", "a10g"),
        ("moesize check mixtral-8x7b --quant gptq-4", "gptq-4bit"),
    ):
        env = {**os.environ, **asked, "_TYPER_COMPLETE_ARGS": line}
        done = subprocess.run(RUN, capture_output=True, text=True, env=env, check=False)
        assert done.stderr == ""
        assert offered in done.stdout


def test_all_that_is_offered_is_known() -> None:
    assert completion.models("") == sorted(catalogue.models())
    assert completion.quants("") == sorted(quant.name for quant in list_quants())
    assert completion.engines("") == sorted(ENGINES)
    offered = completion.gpus("")
    assert len(offered) == len(list_gpus())
    for name in offered[::9]:
        assert load_gpu(name).id.endswith(name)


def test_a_list_offers_what_it_has_not() -> None:
    assert "a10g,a10g" not in completion.gpu_list("a10g,")
    assert {"a10g,l4", "a10g,all"} <= set(completion.gpu_list("a10g,"))
    assert completion.quant_list("fp8,stor") == ["fp8,stored"]
