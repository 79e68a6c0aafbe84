"""The smallest cards that would do, for a terminal, as Markdown and as JSON."""

import json
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.text import Text

from moesize.compare import Row
from moesize.report.detail import Detail
from moesize.report.figures import gib
from moesize.report.tables import plain_table
from moesize.report.text import VERDICT_STYLE, VERDICT_WORDS
from moesize.smallest import SmallestGpus

_ROWS = 10


def to_json(found: SmallestGpus) -> str:
    """Schema `moesize.smallest/1`."""
    return json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n"


def render(found: SmallestGpus, detail: Detail = Detail.USUAL) -> RenderableType:
    """The verdict, the smallest cards, and the largest that will not do."""
    head = _headline(found)
    if detail is Detail.VERDICT:
        return head
    parts: list[RenderableType] = [head]
    if found.rows:
        shown = found.rows if detail is Detail.ALL else found.rows[:_ROWS]
        parts += [Text(), _table(shown)]
        if len(shown) < len(found.rows):
            parts.append(Text(f"… and {len(found.rows) - len(shown)} larger; --verbose shows all", style="dim"))
    if found.nearest_miss:
        parts += [Text(), Text(_miss(found.nearest_miss, found))]
    dates = sorted({row.price_date for row in found.rows if row.price_date})
    prices = f"; list prices of {dates[0]}" + (f" to {dates[-1]}" if len(dates) > 1 else "") if dates else ""
    default = " (default)" if found.context_source == "default" else ""
    asked = f"{found.concurrency} × {found.context:,} tokens{default}; {found.engine.name} {found.engine.version}"
    lines = [f"{asked}; memory in GiB (2^30 bytes){prices}", f"model: {found.source}"]
    lines += [f"note: {note}" for note in found.notes]
    return Group(*parts, Text(), *(Text(line, style="dim") for line in lines))


def _headline(found: SmallestGpus) -> Text:
    asked = f"  {found.model}, {found.quant}"
    if not found.rows:
        verdict = Text(f"{VERDICT_WORDS['oom']} on every card tried", style=VERDICT_STYLE["oom"])
        return verdict.append(asked, style="bold default")
    least = found.rows[0]
    where = (
        f", on {least.gpus}× {least.gpu} and larger" if found.one_gpu else f", on {least.gpus}× {least.gpu} and more"
    )
    return Text(VERDICT_WORDS[least.verdict], style=VERDICT_STYLE[least.verdict]).append(
        asked + where, style="bold default"
    )


def _table(rows: list[Row]) -> RenderableType:
    table = plain_table("GPUs", "GiB>", "verdict", "free GiB>", "max context>", "seqs>", "$/h>")
    for row in rows:
        table.add_row(
            f"{row.gpus}× {row.gpu}",
            gib(row.memory_bytes),
            Text(row.verdict, style=VERDICT_STYLE[row.verdict]),
            gib(row.headroom_bytes),
            f"{row.max_context:,}" if row.max_context else "–",
            f"{row.max_concurrency:.1f}" if row.max_concurrency is not None else "–",
            f"{row.usd_per_hour:.2f}" if row.usd_per_hour is not None else "–",
        )
    return table


def _miss(row: Row, found: SmallestGpus) -> str:
    what = "the largest"
    if found.rows:
        same = found.rows[0].gpus == row.gpus
        what = "the largest that is too small" if same else "no single card will do; the largest"
    return f"{what}: {row.gpus}× {row.gpu}: {row.reason}"
