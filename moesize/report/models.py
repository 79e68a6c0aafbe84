"""The catalogue's models for a terminal."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from moesize.report.figures import counted, parameters
from moesize.report.tables import plain_table


def many(models: Mapping[str, Mapping[str, object]]) -> RenderableType:
    """One line each: what the index says of them."""
    table = plain_table("name", "total>", "active>", "experts>", "stored as", "context>")
    for name, entry in models.items():
        table.add_row(
            name,
            _count(entry.get("total")),
            _count(entry.get("active")),
            f"{entry['routed']}, {entry['per_token']}" if entry.get("routed") else "–",
            str(entry.get("quant") or entry.get("dtype") or "undisclosed"),
            f"{entry['context']:,}" if entry.get("context") else "–",
        )
    return Group(table, Text(f"{counted(len(models), 'model')}; experts are routed, per token", style="dim"))


def _count(value: object) -> str:
    return parameters(value) if isinstance(value, int) and value else "–"
