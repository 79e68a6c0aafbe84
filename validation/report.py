"""`docs/accuracy.md` out of scores."""

from validation import checkpoints, measured
from validation.rows import VLLM_FILES, load_rows
from validation.runtime import FILE as RUNTIME_FILE
from validation.scores import Scores, Summary

_HEAD = """# How far off the predictions are

Written by `python -m validation`; do not edit. Every figure is a prediction of the public functions against what a
server printed; errors are shares of the printed figure, signed where a sign is shown (+ = predicted more).

"""


def markdown(scores: Scores) -> str:
    """The whole page."""
    parts = [_HEAD, "## vLLM, measured rows\n\n", _terms(scores), "\n", _verdicts(scores), "\n", _exact(scores), "\n"]
    parts += [_others(scores), "\n", _sizes(scores), "\n", _worst(scores), "\n", _left_out()]
    return "".join(parts)


def _terms(scores: Scores) -> str:
    rows = ["| term | rows | models | median | 90 % below | worst | bias |\n", "|---|---:|---:|---:|---:|---:|---:|\n"]
    rows += [_line(summary) for summary in scores.summaries]
    notes = (
        "\n`KV tokens from the printed GiB` is computed from the pool a row printed, within the rounding of its two"
        " decimals; `bias` is the signed median. Pipeline rows print the first stage's pool and the tightest stage's"
        " tokens: they are scored by tokens.\n"
    )
    return "".join(rows) + notes


def _line(s: Summary) -> str:
    return (
        f"| {s.term} | {s.count} | {s.models} | {s.median:.2%} | {s.p90:.2%} | {s.worst:+.2%} ({s.worst_row}) |"
        f" {s.bias:+.2%} |\n"
    )


def _verdicts(scores: Scores) -> str:
    columns = (*measured.GOOD, *measured.BAD)
    text = f"## Verdicts\n\n| predicted \\ observed | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}\n"
    for verdict in ("fits", "tight", "oom"):
        text += f"| {verdict} | " + " | ".join(str(scores.confusion[verdict, c]) for c in columns) + " |\n"
    return text


def _others(scores: Scores) -> str:
    text = "## Other engines, measured rows\n\n| term | rows | models | median | 90 % below | worst | bias |\n"
    return text + "|---|---:|---:|---:|---:|---:|---:|\n" + "".join(_line(summary) for summary in scores.others)


def _sizes(scores: Scores) -> str:
    """Published checkpoint sizes per format, and what a label cannot predict."""
    text = (
        "## Published checkpoint sizes\n\n| format | sizes | median | 90 % below | worst |\n|---|---:|---:|---:|---:|\n"
    )
    for name, count, middle, most, worst in checkpoints.summary(scores.sizes):
        text += f"| {name} | {count} | {middle:.3%} | {most:.3%} | {worst:+.3%} |\n"
    text += "\nNot scored, because the label does not say what is in the file:\n\n"
    text += "| repository | sizes | why |\n|---|---:|---|\n"
    for repo, source, reason, count in checkpoints.excluded():
        text += f"| [{repo}]({source}) | {count} | {reason} |\n"
    return text


def _exact(scores: Scores) -> str:
    text = (
        "## vLLM's own plans\n\nReferences: vLLM 0.33.0's own classes run on fake tensors for an H100, 2026-11-21"
        " (`validation/exact.py`).\n\n| what | references | equal | explained | open |\n|---|---:|---:|---:|---:|\n"
    )
    for what, (count, equal, explained) in scores.exact.items():
        text += f"| {what} | {count} | {equal} | {explained} | {count - equal - explained} |\n"
    return text


def _worst(scores: Scores) -> str:
    """Rows that are off by more than the targets, one by one."""
    limits = {"weights": 0.01, "KV pool, other rows": 0.03, "KV pool, H100 0.19": 0.01, "activation peak": 0.05}
    text = "## Rows beyond 1 % (weights), 3 % (pool), 5 % (activations)\n\n"
    text += "| term | row | predicted | observed | error |\n|---|---|---:|---:|---:|\n"
    for error in scores.errors:
        if abs(error.relative) > limits.get(error.term, 1e9):
            figures = f"{error.predicted:.2f} | {error.observed:.2f} | {error.relative:+.1%}"
            text += f"| {error.term} | [{error.row.id}]({error.row.source}) | {figures} |\n"
    return text


def _left_out() -> str:
    text = "## Shown and not scored\n\n| row | why |\n|---|---|\n"
    for row in load_rows(*VLLM_FILES, RUNTIME_FILE):
        if row.weak and row.file != RUNTIME_FILE:
            text += f"| [{row.id}]({row.source}) | {row.weak} |\n"
        for term, why in row.asked.get("not_scored", {}).items():
            text += f"| [{row.id}]({row.source}) | {term}: {why} |\n"
    for row, why in measured.unanswered():
        text += f"| [{row.id}]({row.source}) | {why} |\n"
    return text
