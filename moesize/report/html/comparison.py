"""The comparison as a table that sorts."""

from typing import Final

from moesize.compare import Comparison, Row
from moesize.report.figures import gib
from moesize.report.html.markup import Markup
from moesize.report.html.parts import NOTHING, Column, plain, table, verdict


def _speed(row: Row) -> float | None:
    return row.decode_tokens_per_second_bound


def _token_price(row: Row) -> float | None:
    return row.usd_per_million_tokens_bound


_COLUMNS: Final[tuple[Column[Row], ...]] = (
    Column("model", lambda r: r.model),
    Column("quant", lambda r: r.quant),
    Column("GPU", lambda r: r.gpu),
    Column("GPUs", lambda r: plain(r.gpus), lambda r: r.gpus),
    Column("verdict", lambda r: verdict(r.verdict)),
    Column("weights GiB", lambda r: gib(r.weights_bytes), lambda r: r.weights_bytes),
    Column("KV GiB", lambda r: gib(r.kv_cache_bytes), lambda r: r.kv_cache_bytes),
    Column("free GiB", lambda r: gib(r.headroom_bytes), lambda r: r.headroom_bytes),
    Column("max context", lambda r: _shown(r.max_context, ",.0f"), lambda r: r.max_context),
    Column("sequences", lambda r: _shown(r.max_concurrency, ",.1f"), lambda r: r.max_concurrency),
    Column("tokens/s ≤", lambda r: _shown(_speed(r), ",.0f"), _speed),
    Column("$/h", lambda r: _shown(r.usd_per_hour, ",.2f"), lambda r: r.usd_per_hour),
    Column("$/M tokens ≥", lambda r: _shown(_token_price(r), ",.2f"), _token_price),
    Column("rented as", lambda r: r.instance or NOTHING),
)


def comparison_table(comparison: Comparison) -> Markup:
    """Every combination on the fewest GPUs it fits on."""
    return table(f"Every combination, best first by {comparison.sort}", _COLUMNS, comparison.rows, sortable=True)


def bounds_and_prices(comparison: Comparison) -> str:
    """What kind of figures speeds and prices are."""
    dates = sorted({row.price_date for row in comparison.rows if row.price_date})
    prices = f" Prices are list prices of {' to '.join(dict.fromkeys((dates[0], dates[-1])))}." if dates else ""
    return f" Speeds are upper bounds.{prices}"


def _shown(value: float | None, how: str) -> str:
    return NOTHING if value is None else format(value, how)
