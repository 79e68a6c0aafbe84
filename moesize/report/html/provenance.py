"""Where every number on the page is from: the receipt of each deployment, the cards' sources, and the formulas."""

from typing import Final

from moesize.report.figures import gib, words
from moesize.report.html.markup import Markup, sources, tag
from moesize.report.html.parts import Column, called, plain, table
from moesize.results import CheckResult, TermOut
from moesize.survey import Case, Survey

#: Figures that are no terms of a receipt: what they are, and how they come about.
_FORMULAS: Final = (
    ("budget", "the part of the card's memory the engine lets itself use, by the rule of its version"),
    ("interval", "sums of the lowest and of the highest each term was measured at; exact terms have no spread"),
    ("verdict", "fits: the upper end is within the budget; out of memory: the lower end is beyond it; tight: between"),
    ("total parameters", "each stored parameter once, tied weights once, from the model's tensors"),
    ("active parameters", "the total without the experts a token does not select"),
    ("experts touched, balanced", "E · (1 − (1 − k/E)^B) for E experts, k per token, a batch of B"),
    ("experts touched, skewed", "the same with the i-th most popular expert chosen in proportion to 1/i"),
    ("max context, sequences", "what the engine's pool holds at the nominal figures, as `check` reports it"),
    ("largest context", "the longest context with that verdict, by asking again until the next token changes it"),
    ("tokens/s ≤", "an upper bound: bytes read per step over bandwidth, products over peak rate, plus links"),
    ("$/h", "the cheapest equal instances that hold the GPUs, at the list price of its date or at yours"),
    ("$/M tokens ≥", "$/h over the tokens of an hour at the bound: a lower bound"),
)


def receipts(survey: Survey) -> Markup:
    """One receipt per deployment, then the cards, then everything else."""
    formulas: list[Column[tuple[str, str]]] = [Column("figure", lambda r: r[0]), Column("how", lambda r: r[1])]
    return tag(
        "div",
        [_receipt(case.result) for case in survey.cases],
        _cards(survey),
        table("All other figures", formulas, _FORMULAS),
    )


def _receipt(result: CheckResult) -> Markup:
    columns: list[Column[TermOut]] = [
        Column("term", lambda t: words(t.term)),
        Column("GiB", lambda t: gib(t.bytes), lambda t: t.bytes),
        Column("bytes", lambda t: plain(t.bytes), lambda t: t.bytes),
        Column("seen, GiB", _seen),
        Column("basis", lambda t: t.basis if t.in_budget else f"{t.basis}; outside the budget"),
        Column("formula", lambda t: t.formula),
        Column("source", lambda t: sources(t.source)),
    ]
    work, layout = result.workload, result.layout
    default = " (default)" if work.context_source == "default" else ""
    engine = f"{result.engine.name} {result.engine.version}"
    facts = (
        f"{work.concurrency} × {plain(work.context)} tokens{default}, KV cache {work.kv_dtype};"
        f" {engine}, tp {layout.tp}, pp {layout.pp}, dp {layout.dp}, ep {layout.ep};"
        f" {result.quant.bits_per_weight:.2f} bits per weight;"
        f" the terms within the budget add up to {plain(result.per_gpu.total_bytes)} bytes,"
        f" of a budget of {gib(result.per_gpu.budget_bytes)} of {gib(result.gpu.memory_bytes)} GiB"
    )
    if work.gpu_memory_utilization:
        facts += f" (gpu_memory_utilization {work.gpu_memory_utilization:g})"
    return tag(
        "section",
        tag("h3", called(result)),
        tag("p", facts),
        tag("p", "Model: ", sources(result.model.source)),
        tag("ul", [tag("li", note) for note in result.notes], class_="notes") if result.notes else None,
        table(f"Receipt of one GPU: {called(result)}", columns, result.terms),
        class_="receipt",
    )


def _seen(term: TermOut) -> str:
    if term.low_bytes != term.high_bytes:
        return f"{gib(term.low_bytes)}–{gib(term.high_bytes)}"
    return "no spread" if term.basis == "calibrated" else "exact"


def _cards(survey: Survey) -> Markup:
    """The sources of the cards' figures."""
    cards = {case.gpu.name: case for case in survey.cases}
    rows = [(name, figure, where) for name, case in cards.items() for figure, where in _figures(case)]
    columns: list[Column[tuple[str, str, str]]] = [
        Column("GPU", lambda row: row[0]),
        Column("figure", lambda row: row[1]),
        Column("source", lambda row: sources(row[2])),
    ]
    return table("Figures of the GPUs", columns, rows)


def _figures(case: Case) -> list[tuple[str, str]]:
    gpu = case.gpu
    memory = [(f"memory, {gib(gpu.memory_bytes)} GiB a process can use", gpu.memory_basis)]
    return memory + [(name.replace("_", " "), where) for name, where in gpu.sources.items()]
