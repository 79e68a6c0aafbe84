"""The report as Markdown: a table for issues, pull requests and step summaries."""

from moesize.report.figures import gib, parameters
from moesize.report.text import CATEGORIES, VERDICT_WORDS
from moesize.results import CheckResult


def escape(text: str) -> str:
    """`text` with nothing in it that Markdown or HTML would act on."""
    for char in "\\`*_{}[]<>#|!&":
        text = text.replace(char, f"&#{ord(char)};")
    return text.replace("\n", " ")


def render(report: CheckResult) -> str:
    """The verdict, its reasons, the receipt and what would fit."""
    per_gpu = report.per_gpu
    where = f"{report.gpu.count}× {escape(report.gpu.name)}"
    lines = [
        f"### {VERDICT_WORDS[report.verdict]}: {escape(report.model.name)}, {report.quant.name}, on {where}",
        "",
        *(f"{escape(reason)}  " for reason in report.reasons),
        "",
        "| per GPU | GiB |",
        "| --- | ---: |",
        *(f"| {name} | {gib(getattr(per_gpu, f'{key}_bytes'))} |" for key, (name, _, _) in CATEGORIES.items()),
        f"| **total** | **{gib(per_gpu.total_bytes)}** |",
        f"| budget | {gib(per_gpu.budget_bytes)} |",
        "",
        _summary(report),
    ]
    if report.suggestions:
        lines += ["", "| what would fit | option | free GiB per GPU |", "| --- | --- | ---: |"]
        lines += [f"| {escape(s.change)} | `{s.option}` | {gib(s.headroom_bytes)} |" for s in report.suggestions]
    lines += ["", *(f"> {escape(note)}  " for note in report.notes)] if report.notes else []
    return "\n".join(lines) + "\n"


def _summary(report: CheckResult) -> str:
    params, work = report.model.params, report.workload
    counts = f"{parameters(params.total)} parameters in memory, {parameters(params.active)} active per token"
    asked = f"{work.concurrency} × {work.context:,} tokens"
    return f"{counts}; {asked}; {report.engine.name} {report.engine.version}."
