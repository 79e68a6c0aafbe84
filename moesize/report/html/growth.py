"""What grows with the workload: memory against context and concurrency, the longest context against concurrency."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from moesize.curves import Curves, Line, Longest, Point
from moesize.report.figures import gib
from moesize.report.html.markup import Markup, tag
from moesize.report.html.parts import NOTHING, Column, called, figure, legend, plain, table, tokens, verdict
from moesize.report.html.svg import Axis, Limit, Series, line_chart
from moesize.results import CheckResult
from moesize.survey import Case
from moesize.units import GIB

_LINES: Final = ("line-a", "line-b", "line-c", "line-d", "line-e")
#: How far beyond the budget, or beyond what is asked for, the memory axis reaches.
_ROOM_OVER_BUDGET, _ROOM_OVER_TOTAL = 1.35, 1.08


@dataclass(frozen=True, slots=True)
class _View:
    """Lines along one axis: what it is called, where a point stands on it, and what tells the lines apart."""

    name: str
    against: str
    axis: Axis
    along: Callable[[Point], int]
    lines: Sequence[Line]
    labels: Sequence[str]


def growth(case: Case, index: int) -> Markup:
    """The charts of one deployment, or why there are none."""
    found, result = case.curves, case.result
    heading = tag("h3", called(result), " ", verdict(result.verdict, result.oom_at))
    if not found.by_context:
        unknown = tag("p", "What the caches of this model take is not known, so there is nothing to draw.")
        return tag("section", heading, unknown, class_="case")
    first, last = found.by_context[0].points[0], found.by_concurrency[0].points[-1]
    context = _View(
        name=f"context-{index}",
        against="context length",
        axis=Axis("tokens per sequence", first.context_tokens, found.limit_tokens, tokens, doubling=True),
        along=lambda point: point.context_tokens,
        lines=found.by_context,
        labels=[_sequences(line.points[0].concurrency) for line in found.by_context],
    )
    concurrency = _View(
        name=f"concurrency-{index}",
        against="concurrency",
        axis=Axis("sequences at once", 1, last.concurrency, plain, doubling=True),
        along=lambda point: point.concurrency,
        lines=found.by_concurrency,
        labels=[f"{plain(line.points[0].context_tokens)} tokens" for line in found.by_concurrency],
    )
    charts = [_memory(context, result), _memory(concurrency, result), _longest(found, result, index)]
    return tag("section", heading, tag("div", charts, class_="charts"), class_="case")


def _sequences(count: int) -> str:
    return "1 sequence" if count == 1 else f"{plain(count)} sequences"


def _memory(view: _View, result: CheckResult) -> Markup:
    """Total memory of the fullest GPU along a view, the budget across it."""
    per_gpu, work = result.per_gpu, result.workload
    top = max(per_gpu.budget_bytes * _ROOM_OVER_BUDGET, per_gpu.total_high_bytes * _ROOM_OVER_TOTAL)
    series = [
        Series(
            points=[(view.along(p), p.total_bytes / GIB) for p in line.points],
            style=style,
            band=[(view.along(p), p.low_bytes / GIB, p.high_bytes / GIB) for p in line.points] if line.asked else (),
        )
        for line, style in zip(view.lines, _LINES, strict=False)
    ]
    asked = Point(work.context, work.concurrency, 0, 0, 0, result.verdict)
    total, budget = gib(per_gpu.total_bytes), gib(per_gpu.budget_bytes)
    workload = f"{_sequences(work.concurrency)} of {plain(work.context)} tokens"
    chart = line_chart(
        name=view.name,
        title=f"Memory of one GPU against {view.against}: {called(result)}",
        description=(
            f"{workload} take {total} GiB of a budget of {budget} GiB; one line each for {', '.join(view.labels)}"
        ),
        x=view.axis,
        y=Axis("GiB per GPU", 0.0, top / GIB, lambda value: f"{value:g}"),
        series=series,
        limit=Limit(per_gpu.budget_bytes / GIB, f"budget {budget} GiB"),
        marked=(view.along(asked), per_gpu.total_bytes / GIB),
    )
    named = [f"{label} (asked)" if line.asked else label for label, line in zip(view.labels, view.lines, strict=True)]
    key = legend(zip(_LINES, named, strict=False), lines=True)
    return figure(f"Memory against {view.against}", chart, key, _points(view))


def _points(view: _View) -> Markup:
    """The points of a view: a row for each place, a column for each line."""

    def column(index: int, label: str) -> Column[int]:
        def point(row: int) -> Point:
            return view.lines[index].points[row]

        return Column(
            f"{label}, GiB",
            lambda row: [gib(point(row).total_bytes), " ", verdict(point(row).verdict)],
            lambda row: point(row).total_bytes,
        )

    places = [view.along(point) for point in view.lines[0].points]
    first: Column[int] = Column(view.axis.label, lambda row: plain(places[row]), lambda row: places[row])
    columns = [first, *(column(index, label) for index, label in enumerate(view.labels))]
    return table(f"Memory of one GPU against {view.against}", columns, range(len(places)))


def _longest(found: Curves, result: CheckResult, index: int) -> Markup:
    """The longest context of each number of sequences: up to one line it fits, up to the other it may."""
    caption = "Largest context against concurrency"
    columns: list[Column[Longest]] = [
        Column("sequences at once", lambda one: plain(one.concurrency), lambda one: one.concurrency),
        Column("fits up to, tokens", lambda one: _or_nothing(one.fits_tokens), lambda one: one.fits_tokens),
        Column("may fit up to, tokens", lambda one: _or_nothing(one.not_oom_tokens), lambda one: one.not_oom_tokens),
    ]
    numbers = table(caption, columns, found.longest)
    fits = [(one.concurrency, one.fits_tokens) for one in found.longest if one.fits_tokens]
    may = [(one.concurrency, one.not_oom_tokens) for one in found.longest if one.not_oom_tokens]
    if not may:
        return figure(caption, tag("p", "No context fits, not even of one token.", class_="empty"), None, numbers)
    low = min(found.limit_tokens / 2, *(longest for _, longest in (*fits, *may)))
    best = f"one sequence fits up to {plain(fits[0][1])} tokens" if fits else "nothing fits for certain"
    chart = line_chart(
        name=f"longest-{index}",
        title=f"Largest context against concurrency: {called(result)}",
        description=f"{best}, and may fit up to {plain(may[0][1])}; the model reaches {plain(found.limit_tokens)}",
        x=Axis("sequences at once", 1, found.longest[-1].concurrency, plain, doubling=True),
        y=Axis("tokens per sequence", low, found.limit_tokens * 1.4, tokens, doubling=True),
        series=[Series(may, "line-b"), Series(fits, "line-a")],
        limit=Limit(found.limit_tokens, f"model's own {plain(found.limit_tokens)}"),
    )
    key = legend([("line-a", "fits"), ("line-b", "may fit: within the spread measured")], lines=True)
    return figure(caption, chart, key, numbers)


def _or_nothing(count: int | None) -> str:
    return NOTHING if count is None else plain(count)
