"""Pieces the sections share: tables, figures with their legend and their numbers, words for a deployment."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from moesize.report.html.markup import Child, Markup, tag
from moesize.report.html.svg import swatch
from moesize.results import CheckResult

VERDICT_WORDS: Final = {"fits": "fits", "tight": "tight", "oom": "out of memory"}
OOM_WORDS: Final = {"load": " at load", "kv_cache": ": no room for the KV cache", "runtime": " at run time"}
NOTHING: Final = "–"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column: its header, what a row shows in it, and for figures the number it is sorted by ('' sorts last)."""

    header: str
    show: Callable[[T], Child]
    key: Callable[[T], float | int | None] | None = None


def table(caption: str, columns: Sequence[Column[T]], rows: Iterable[T], *, sortable: bool = False) -> Markup:
    """A table that scrolls sideways in its own box; the first column names its rows."""
    head = [tag("th", column.header, scope="col", class_=_number(column)) for column in columns]
    body = [tag("tr", [_cell(column, row, first=index == 0) for index, column in enumerate(columns)]) for row in rows]
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head)),
        tag("tbody", body),
        class_="sortable" if sortable else None,
    )
    return tag("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _cell(column: Column[T], row: T, *, first: bool) -> Markup:
    key = column.key(row) if column.key else None
    sort = None if column.key is None else "" if key is None else repr(key)
    name, scope = ("th", "row") if first else ("td", None)
    return tag(name, column.show(row), scope=scope, class_=_number(column), data_sort=sort)


def _number(column: Column[T]) -> str | None:
    return "number" if column.key else None


def figure(caption: str, chart: Child, legend: Child, numbers: Child) -> Markup:
    """A chart under its title, with a legend, and the numbers it is drawn from folded away."""
    folded = tag("details", tag("summary", "Figures"), numbers)
    return tag("figure", tag("figcaption", caption), chart, legend, folded)


def legend(entries: Iterable[tuple[str, str]], *, lines: bool = False) -> Markup:
    """Samples with their words: (class, words)."""
    return tag("ul", [tag("li", swatch(style, line=lines), words) for style, words in entries], class_="legend")


def verdict(name: str, oom_at: str | None = None) -> Markup:
    """The verdict in words, coloured."""
    return tag("strong", VERDICT_WORDS[name] + OOM_WORDS.get(oom_at or "", ""), class_=f"verdict {name}")


def called(result: CheckResult) -> str:
    """`mixtral-8x7b, bf16, on 2× A100 SXM4 80GB` of an answer."""
    return f"{result.model.name}, {result.quant.name}, on {result.gpu.count}× {result.gpu.name}"


def tokens(count: float) -> str:
    """`128k` of a number of tokens, 1k being 1,024; the whole number where it is no multiple."""
    for unit, scale in (("M", 2**20), ("k", 2**10)):
        if count >= scale and count % scale == 0:
            return f"{count / scale:,.0f}{unit}"
    return f"{count:,.0f}"


def plain(count: float) -> str:
    """A count with separators."""
    return f"{count:,.0f}" if count == int(count) else f"{count:,.2f}".rstrip("0")
