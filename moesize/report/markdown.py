"""The report as Markdown: a table for issues, pull requests and step summaries; and any other answer, from its text."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moesize.report.figures import gib, parameters
from moesize.report.text import CATEGORIES, VERDICT_WORDS
from moesize.results import CheckResult

_ACTIVE = {ord(char): f"&#{ord(char)};" for char in "\\`*_{}[]<>#|!&"} | {ord("\n"): " "}


def escape(text: str) -> str:
    """`text` with nothing in it that Markdown or HTML would act on."""
    return text.translate(_ACTIVE)


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
    asked = f"{work.concurrency} × {work.context:,} tokens" + (" (default)" if work.context_source == "default" else "")
    return f"{counts}; {asked}; {report.engine.name} {report.engine.version}."


def document(what: RenderableType) -> str:
    """What a terminal shows, as Markdown: the first line a heading, tables as tables, all else as paragraphs."""
    lines: list[str] = []
    for part in _parts(what):
        if isinstance(part, Table):
            lines += ["", *table_lines(part), ""]
        elif isinstance(part, Text):
            lines += _text_lines(part, heading=not any(lines))
    text = "\n".join(lines).strip("\n")
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text + "\n"


def _parts(what: RenderableType) -> Iterator[RenderableType]:
    if isinstance(what, Group):
        for inner in what.renderables:
            yield from _parts(inner)
    else:
        yield what


def table_lines(table: Table) -> Iterator[str]:
    """A table of the terminal as a Markdown table."""
    columns = [list(column.cells) for column in table.columns]
    headers = [escape(_plain(column.header)) for column in table.columns]
    yield f"| {' | '.join(headers)} |"
    yield f"|{'|'.join(' ---: ' if column.justify == 'right' else ' --- ' for column in table.columns)}|"
    for row in zip(*columns, strict=True):
        yield f"| {' | '.join(escape(_plain(cell)) for cell in row)} |"


def _text_lines(text: Text, *, heading: bool) -> list[str]:
    plain = text.plain.rstrip()
    if heading and plain:
        return [f"### {escape(plain).replace('  ', ': ', 1)}", ""]
    if text.no_wrap:  # to be copied as it is
        return ["", "```text", *plain.splitlines(), "```", ""]
    return [f"{escape(line.strip())}  " if line.strip() else "" for line in plain.split("\n")]


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
