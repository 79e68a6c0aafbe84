"""Plot the memory of one GPU against context length, with the card's budget, in the terminal.

    python examples/memory_against_context.py mixtral-8x7b A100-80GB --gpus 2 --quant fp16

Every row is one call of `moesize.check`; nothing is computed here that the report does not say.
"""

import argparse

from rich.console import Console
from rich.text import Text

from moesize import CheckReport, MoesizeError, check, load_model

PARTS = (
    ("weights", "blue", "█"),
    ("kv_cache", "cyan", "▓"),
    ("activation", "magenta", "▒"),
    ("runtime", "yellow", "░"),
)
GIB = 2**30
CELLS = 60


def bar(report: CheckReport, scale_bytes: int) -> Text:
    """One bar, `CELLS` wide at `scale_bytes`, with `|` where the budget ends."""
    per_gpu, drawn = report.per_gpu, Text()
    edge_bytes = 0
    for part, colour, char in PARTS:
        edge_bytes += getattr(per_gpu, f"{part}_bytes")
        drawn.append(char * (round(edge_bytes / scale_bytes * CELLS) - len(drawn)), style=colour)
    budget = round(per_gpu.budget_bytes / scale_bytes * CELLS)
    drawn.pad_right(max(0, budget - len(drawn)))
    return drawn[:budget] + Text("|", style="bold red") + drawn[budget:]


def main() -> None:
    """Ask for each context up to the model's own, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("gpu")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--quant")
    parser.add_argument("--concurrency", type=int, default=1)
    words = parser.parse_args()
    console = Console(highlight=False)
    try:
        spec = load_model(words.model)
        longest = spec.context_length or 131072
        contexts = [tokens for tokens in (1024 << doubling for doubling in range(12)) if tokens <= longest]
        asked = {"gpus": words.gpus, "quant": words.quant, "concurrency": words.concurrency}
        reports = [check(spec, words.gpu, context=tokens, **asked) for tokens in contexts]
    except MoesizeError as error:
        raise SystemExit(f"{parser.prog}: {error}") from None
    scale_bytes = max(max(report.per_gpu.total_bytes, report.per_gpu.budget_bytes) for report in reports)
    for tokens, report in zip(contexts, reports, strict=True):
        figures = f" {report.per_gpu.total_bytes / GIB:.2f} GiB, {report.verdict}"
        console.print(Text(f"{tokens:>9,} ") + bar(report, scale_bytes) + Text(figures), soft_wrap=True)
    budget = reports[0].per_gpu.budget_bytes / GIB
    console.print(f"tokens of context; | is the budget of one GPU, {budget:.2f} GiB", markup=False)


if __name__ == "__main__":
    main()
