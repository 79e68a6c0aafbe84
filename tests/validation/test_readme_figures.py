"""README's accuracy table says what `python -m validation` finds."""

import re
from pathlib import Path

import pytest

from validation import checkpoints
from validation.scores import Scores, score

README = Path(__file__).resolve().parents[2] / "README.md"
TERMS = {
    "weights per GPU, vLLM": "weights",
    "KV pool, vLLM 0.19 on H100, each model left out of the fit": "KV pool, H100 0.19, leave one model out",
    "KV pool, every card and version, each model left out of the fit": "KV pool, every row, leave one model out",
    "KV pool, other cards and versions, each model left out of the fit": "KV pool, other rows, leave one model out",
    "KV tokens from a printed pool": "KV tokens from the printed GiB",
    "weights on the GPUs, llama.cpp": "llama.cpp: weights",
    "compute buffer, llama.cpp": "llama.cpp: compute buffer",
}


@pytest.fixture(scope="module")
def scores() -> Scores:
    return score()


def table() -> dict[str, list[str]]:
    section = README.read_text(encoding="utf-8").split("## How far off it has been")[1].split("\n## ")[0]
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in section.splitlines() if line.startswith("| ")]
    return {row[0]: row[2:] for row in rows[1:]}


def test_every_measured_figure_is_the_one_found(scores: Scores) -> None:
    found = {s.term: s for s in (*scores.summaries, *scores.others)}
    shown = table()
    for name, term in TERMS.items():
        s = found[term]
        assert shown[name] == [str(s.count), f"{s.median:.2%}", f"{s.p90:.2%}"], name


def test_exact_and_published_figures_too(scores: Scores) -> None:
    shown = table()
    count, equal, _ = next(v for k, v in scores.exact.items() if k.startswith("cache plans"))
    assert shown["blocks, tokens, concurrency of a pool"][:2] == [str(count), "all equal"]
    assert equal == count
    _, rows, middle, most, _ = next(r for r in checkpoints.summary(scores.sizes) if r[0] == "all")
    assert shown["published checkpoint sizes"] == [str(rows), f"{middle:.2%}", f"{most:.2%}"]
