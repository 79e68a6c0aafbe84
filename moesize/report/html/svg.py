"""Charts as static SVG: axes, lines with markers, and bars. Colours and strokes are classes of the page's style."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, log2, log10
from typing import Final

from moesize.report.html.markup import Child, Markup, tag

XMLNS: Final = "http://www.w3.org/2000/svg"
_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 40
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_MOST_TICKS = 8
_BAR_HEIGHT = 30


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its label, its range, how a value is written, and whether it doubles from tick to tick."""

    label: str
    low: float
    high: float
    write: Callable[[float], str]
    doubling: bool = False

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1 within them."""
        if self.high == self.low:
            return 0.5
        if self.doubling:
            return log2(value / self.low) / log2(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values within the ends: powers of two, or 1, 2 or 5 times a power of ten apart."""
        if self.doubling:
            first, last = -floor(-log2(self.low)), floor(log2(self.high))
            step = max(1, -(-(last - first + 1) // _MOST_TICKS))
            return [float(2**power) for power in range(first, last + 1, step)] or [self.low]
        rough = (self.high - self.low) / (_MOST_TICKS - 1) or 1.0
        power = 10.0 ** floor(log10(rough))
        step_size = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        count = floor((self.high - self.low) / step_size + 1e-9)
        return [self.low + step_size * index for index in range(count + 1)]


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its points and the class that draws it; `band` is filled between low and high."""

    points: Sequence[tuple[float, float]]
    style: str
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """A line across the chart with its label, such as what a card has."""

    value: float
    label: str


def line_chart(
    *,
    name: str,
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    limit: Limit | None = None,
    marked: tuple[float, float] | None = None,
) -> Markup:
    """Lines over two axes; what leaves the range is cut off at its edge.

    Args:
        name: Unique on the page, for the ids of title and description.
        title: What the chart shows, for those who do not see it.
        description: What can be read from it, in a sentence.
        x: The axis along.
        y: The axis up.
        series: The lines.
        limit: A line across.
        marked: The point the question is about.
    """
    plot = tag(
        "svg",
        [_band(one, x, y) for one in series if one.band],
        [_line(one, x, y) for one in series],
        x=_LEFT,
        y=_TOP,
        width=_PLOT_WIDTH,
        height=_PLOT_HEIGHT,
    )
    return tag(
        "svg",
        *_described(name, title, description),
        _y_axis(y),
        _x_axis(x),
        plot,
        _limit(limit, y) if limit and y.low <= limit.value <= y.high else None,
        tag("circle", cx=_LEFT + _x(x, marked[0]), cy=_TOP + _y(y, marked[1]), r=4, class_="asked") if marked else None,
        xmlns=XMLNS,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="chart",
    )


def bar(
    *,
    name: str,
    title: str,
    description: str,
    segments: Sequence[tuple[str, float]],
    scale: float,
    limit: float | None = None,
    interval: tuple[float, float] | None = None,
) -> Markup:
    """One bar of segments (class and value), as wide as the page; what is beyond `scale`, its right end, is cut off."""

    def at(value: float) -> str:
        return f"{100 * value / scale:.3f}%"

    parts: list[Child] = []
    edge = 0.0
    for style, value in segments:
        if value > 0:
            parts.append(tag("rect", x=at(edge), y=5, width=at(value), height=_BAR_HEIGHT - 10, class_=style))
        edge += value
    if interval and interval[1] > interval[0]:
        middle = _BAR_HEIGHT / 2
        low, high = at(interval[0]), at(interval[1])
        parts.append(tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="spread"))
        parts += [tag("line", x1=end, x2=end, y1=middle - 5, y2=middle + 5, class_="spread") for end in (low, high)]
    if limit is not None:
        parts += [
            tag("line", x1=at(limit), x2=at(limit), y1=0, y2=_BAR_HEIGHT, class_=style) for style in ("halo", "limit")
        ]
    if edge > scale:
        parts.append(tag("text", "»", x="99.5%", y=_BAR_HEIGHT / 2 + 5, text_anchor="end", class_="cut"))
    return tag(
        "svg",
        *_described(name, title, description),
        parts,
        xmlns=XMLNS,
        width="100%",
        height=_BAR_HEIGHT,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="bar",
    )


def ruler(scale: float, write: Callable[[float], str]) -> Markup:
    """The scale under bars of `bar`; hidden from readers who hear the figures of each bar."""
    axis = Axis("", 0.0, scale, write)
    parts: list[Child] = []
    for tick in axis.ticks():
        place = 100 * axis.share(tick)
        anchor = "start" if place < 3 else "end" if place > 97 else "middle"
        parts.append(tag("line", x1=f"{place:.3f}%", x2=f"{place:.3f}%", y1=0, y2=5, class_="axis"))
        parts.append(tag("text", write(tick), x=f"{place:.3f}%", y=18, text_anchor=anchor))
    return tag("svg", parts, xmlns=XMLNS, width="100%", height=24, aria_hidden="true", class_="ruler")


def swatch(style: str, *, line: bool = False) -> Markup:
    """The sample beside a legend's words."""
    shape = (
        tag("line", x1=0, x2=24, y1=6, y2=6, class_=style)
        if line
        else tag("rect", width=12, height=12, x=0, y=0, class_=style)
    )
    return tag("svg", shape, xmlns=XMLNS, width=24 if line else 12, height=12, aria_hidden="true", class_="swatch")


def _described(name: str, title: str, description: str) -> Iterator[Markup]:
    yield tag("title", title, id=f"{name}-title")
    yield tag("desc", description, id=f"{name}-desc")


def _x(axis: Axis, value: float) -> float:
    return axis.share(value) * _PLOT_WIDTH


def _y(axis: Axis, value: float) -> float:
    return (1 - axis.share(value)) * _PLOT_HEIGHT


def _line(series: Series, x: Axis, y: Axis) -> Markup:
    points = [(_x(x, a), _y(y, b)) for a, b in series.points]
    markers = [tag("circle", cx=a, cy=b, r=2.2, class_=f"{series.style} dot") for a, b in points]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return tag("g", tag("polyline", points=path, class_=series.style), markers)


def _band(series: Series, x: Axis, y: Axis) -> Markup:
    there = [f"{_x(x, a):.1f},{_y(y, low):.1f}" for a, low, _ in series.band]
    back = [f"{_x(x, a):.1f},{_y(y, high):.1f}" for a, _, high in reversed(series.band)]
    return tag("polygon", points=" ".join(there + back), class_=f"{series.style} band")


def _x_axis(axis: Axis) -> Iterator[Markup]:
    bottom = _TOP + _PLOT_HEIGHT
    yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="axis")
    for tick in axis.ticks():
        place = _LEFT + _x(axis, tick)
        yield tag("line", x1=place, x2=place, y1=bottom, y2=bottom + 4, class_="axis")
        yield tag("text", axis.write(tick), x=place, y=bottom + 16, text_anchor="middle")
    yield tag("text", axis.label, x=_LEFT + _PLOT_WIDTH / 2, y=bottom + 33, text_anchor="middle", class_="name")


def _y_axis(axis: Axis) -> Iterator[Markup]:
    for tick in axis.ticks():
        place = _TOP + _y(axis, tick)
        yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=place, y2=place, class_="grid")
        yield tag("text", axis.write(tick), x=_LEFT - 6, y=place + 4, text_anchor="end")
    yield tag("text", axis.label, x=4, y=12, class_="name")


def _limit(limit: Limit, axis: Axis) -> Iterator[Markup]:
    place = _TOP + _y(axis, limit.value)
    yield tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=place, y2=place, class_="limit")
    yield tag("text", limit.label, x=_LEFT + 4, y=place - 5, class_="limit-name")
