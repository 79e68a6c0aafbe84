"""An observed log for a terminal and as JSON: what was predicted beside what the server printed."""

import json
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moesize.errors import printable
from moesize.observe.compare import Held, ObserveResult
from moesize.report.detail import Detail
from moesize.report.figures import percent
from moesize.report.tables import plain_table
from moesize.report.text import origins

_WORDS = {
    "weights_gib": "weights",
    "activation_gib": "activation peak",
    "non_torch_gib": "outside torch",
    "graphs_gib": "CUDA graphs",
    "graph_estimate_gib": "CUDA graphs, estimated",
    "kv_gib": "KV cache pool",
    "state_gib": "states",
    "kv_tokens": "KV cache tokens",
    "concurrency": "concurrency",
    "block_tokens": "tokens of a block",
    "gpu_total_gib": "card, total",
    "free_gib": "card, free",
    "need_gib": "needed by one request",
    "estimated_max_len": "longest request",
    "blocks": "blocks",
    "v1_blocks": "blocks",
}


def to_json(result: ObserveResult) -> str:
    """Schema `moesize.observe/1`."""
    document = asdict(result)
    for held, entry in zip(result.rows, document["rows"], strict=True):
        entry["difference"] = held.difference
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def render(result: ObserveResult, detail: Detail = Detail.USUAL) -> RenderableType:
    """The whole report, its head and the verdict alone, or with formula and source of every predicted term."""
    head = Text(f"{result.engine} {result.version or 'of unknown version'}: {result.model}", style="bold")
    where = f"  on {result.gpu}" if result.gpu else ""
    head.append(where + (f", ended {result.outcome}" if result.outcome else ""))
    verdict: list[RenderableType] = []
    if result.predicted_verdict:
        text = f"predicted {result.predicted_verdict} (moesize, rules of {result.predicted_with})"
        verdict.append(Text(text, style="bold"))
    if detail is Detail.VERDICT:
        return Group(head, *verdict)
    stated = ", ".join(f"{name} {printable(str(value))}" for name, value in result.settings.items() if name != "model")
    parts: list[RenderableType] = [head, Text(stated, style="dim"), Text(), _table(result), *verdict]
    if detail is Detail.ALL and result.terms:
        parts += [Text(), *origins(result.terms), Text()]
    return Group(*parts, *(Text(f"note: {note}", style="dim") for note in result.notes))


def _table(result: ObserveResult) -> Table:
    table = plain_table("figure", "predicted>", "printed>", "difference>", "public runs")
    for held in result.rows:
        table.add_row(
            _WORDS.get(held.figure, held.figure) + (", GiB" if held.figure.endswith("_gib") else ""),
            _number(held.predicted, held),
            _number(held.measured, held),
            _difference(held),
            f"{held.low:.2f} to {held.high:.2f}" if held.low is not None and held.low != held.high else "",
        )
    return table


def _number(value: float | None, held: Held) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if held.figure.endswith("_gib") or held.figure == "concurrency" else f"{value:,.0f}"


def _difference(held: Held) -> str:
    if held.difference is None:
        return "–"
    share = f" ({percent(held.difference, held.predicted)})" if held.predicted else ""
    sign = "+" if held.difference > 0 else "−" if held.difference < 0 else ""
    return f"{sign}{_number(abs(held.difference), held)}{share}"
