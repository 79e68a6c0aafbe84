"""`compare` for a terminal, as Markdown, CSV and JSON."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from io import StringIO

from rich.console import Group, RenderableType
from rich.text import Text

from moesize.compare import Comparison, Row
from moesize.report.detail import Detail
from moesize.report.figures import counted, gib
from moesize.report.markdown import escape
from moesize.report.tables import plain_table
from moesize.report.text import CATEGORIES, VERDICT_STYLE

_BAR_CELLS = 12


def to_json(comparison: Comparison) -> str:
    """Schema `moesize.compare/1`."""
    return json.dumps(asdict(comparison), indent=2, ensure_ascii=False) + "\n"


def to_csv(comparison: Comparison) -> str:
    """One line per row, all columns."""
    out = StringIO()
    names = [field.name for field in fields(Row)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_safe_cell(getattr(row, name)) for name in names] for row in comparison.rows)
    return out.getvalue()


def _safe_cell(value: object) -> object:
    """A cell no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


#: header, how a row fills it; `>` sets a column of figures flush right
_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("GPUs", lambda r: f"{r.gpus}× {r.gpu}"),
    ("quant", lambda r: r.quant),
    ("verdict", lambda r: r.verdict),
    ("free GiB>", lambda r: gib(r.headroom_bytes)),
    ("max context>", lambda r: f"{r.max_context:,}" if r.max_context else "–"),
    ("seqs>", lambda r: f"{r.max_concurrency:.1f}" if r.max_concurrency is not None else "–"),
    ("tokens/s ≤>", lambda r: f"{r.decode_tokens_per_second_bound:,.0f}" if r.decode_tokens_per_second_bound else "–"),
    ("$/h>", lambda r: f"{r.usd_per_hour:.2f}" if r.usd_per_hour is not None else "–"),
    (
        "$/M tok ≥>",
        lambda r: f"{r.usd_per_million_tokens_bound:.2f}" if r.usd_per_million_tokens_bound is not None else "–",
    ),
)


def to_markdown(comparison: Comparison) -> str:
    """A Markdown table."""
    headers = ["model", *(name.removesuffix(">") for name, _ in _COLUMNS)]
    lines = [f"| {' | '.join(headers)} |", f"|{' --- |' * len(headers)}"]
    for row in comparison.rows:
        cells = [row.model, *(fill(row) for _, fill in _COLUMNS)]
        lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
    notes = [f"skipped: {escape(why)}  " for why in comparison.skipped]
    return "\n".join([*lines, "", *notes, escape(_footer(comparison))]) + "\n"


def render(comparison: Comparison, *, wide: bool, detail: Detail = Detail.USUAL) -> RenderableType:
    """One table; a memory bar per row where there is room for it.

    The table alone as a verdict; with everything, why rows do not fit and where the others are rented.
    """
    several = len({row.model for row in comparison.rows}) > 1
    shown = _COLUMNS if wide else tuple(c for c in _COLUMNS if c[0] not in ("max context>", "$/M tok ≥>"))
    headers = [*(["model"] if several else []), *(name for name, _ in shown), *(["memory"] if wide else [])]
    table = plain_table(*headers)
    for row in comparison.rows:
        cells: list[Text] = [Text(row.model)] if several else []
        for name, fill in shown:
            cells.append(Text(fill(row), style=VERDICT_STYLE[row.verdict] if name == "verdict" else ""))
        table.add_row(*cells, *([_bar(row)] if wide else []))
    if detail is Detail.VERDICT:
        return table
    notes = [Text(f"skipped: {why}", style="dim") for why in comparison.skipped]
    if detail is Detail.ALL:
        notes = [*(Text(f"  {_note(row)}") for row in comparison.rows), *notes]
    return Group(table, *notes, Text(_footer(comparison), style="dim"))


def _note(row: Row) -> str:
    """What the columns have no room for."""
    parts = [row.reason] if row.reason else []
    parts.append(f"weights {gib(row.weights_bytes)} of a budget of {gib(row.budget_bytes)} GiB a GPU")
    if row.bound_by:
        parts.append(f"decoding bound by {row.bound_by}")
    if row.instance:
        parts.append(f"on {row.instance}, {row.price_date or 'your price'}")
    return f"{row.model}, {row.quant}, {row.gpus}× {row.gpu}: " + "; ".join(parts)


def _bar(row: Row) -> Text:
    """Use of one GPU's budget in a few cells."""
    scale = max(row.budget_bytes, row.budget_bytes - row.headroom_bytes, 1)
    text = Text()
    edge = drawn = 0
    for category, (_, colour, char) in CATEGORIES.items():
        edge += getattr(row, f"{category}_bytes")
        cells = round(edge / scale * _BAR_CELLS) - drawn
        text.append(char * cells, style=colour)
        drawn += cells
    return text.append("·" * (_BAR_CELLS - drawn), style="dim")


def _footer(comparison: Comparison) -> str:
    dates = sorted({row.price_date for row in comparison.rows if row.price_date})
    context = f"{comparison.context:,}" if comparison.context else "8,192 (default, or less where a model has less)"
    prices = f"; list prices of {dates[0]}" + (f" to {dates[-1]}" if len(dates) > 1 else "") if dates else ""
    asked = f"{counted(len(comparison.rows), 'row')}, by {comparison.sort}; {comparison.concurrency} × {context} tokens"
    return f"{asked}; on the fewest GPUs that fit; speeds are upper bounds{prices}"
