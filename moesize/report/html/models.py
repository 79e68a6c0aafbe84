"""What a model is made of: total and active parameters, and the experts a batch touches."""

from collections.abc import Sequence

from moesize.explain import Explanation, Touched
from moesize.report.figures import parameters, percent, words
from moesize.report.html.markup import Markup, tag
from moesize.report.html.parts import Column, figure, legend, plain, table
from moesize.report.html.svg import Axis, Series, bar, line_chart


def parameter_bars(models: Sequence[Explanation]) -> Markup:
    """Total and active parameters of every model, on one scale."""
    scale = max(model.params.total for model in models) * 1.02
    key = legend([("active", "active per token"), ("resident", "in memory beside them")])
    return tag("div", key, tag("ul", [tag("li", _bar(m, i, scale)) for i, m in enumerate(models)], class_="bars"))


def _bar(model: Explanation, index: int, scale: float) -> list[Markup]:
    total, active = model.params.total, model.params.active
    share = f"{parameters(total)} in memory, {parameters(active)} active per token ({percent(active, total)})"
    drawn = bar(
        name=f"parameters-{index}",
        title=f"Parameters of {model.name}, total and active",
        description=share,
        segments=[("active", active), ("resident", total - active)],
        scale=scale,
    )
    return [tag("h3", model.name), drawn, tag("p", share, class_="figures"), _roles(model)]


def _roles(model: Explanation) -> Markup:
    counts = model.params
    rows = [
        ("total", counts.total),
        ("active per token", counts.active),
        ("active, without the input embedding", counts.active_excluding_input_embedding),
        ("active, without embeddings", counts.active_excluding_embeddings),
        *((f"of the total: {words(role)}", count) for role, count in counts.by_role.items()),
    ]
    columns: list[Column[tuple[str, int]]] = [
        Column("parameters", lambda row: row[0]),
        Column("count", lambda row: plain(row[1]), lambda row: row[1]),
        Column("share", lambda row: percent(row[1], counts.total), lambda row: row[1]),
    ]
    numbers = table(f"Parameters of {model.name}", columns, rows)
    return tag("details", tag("summary", "Figures"), numbers)


def touched(model: Explanation, index: int) -> Markup | None:
    """Experts of one layer a decoding batch reads; None for a dense model."""
    found = model.experts_touched
    if not found:
        return None
    routed = model.experts.routed
    caption = f"{model.name}: experts touched per layer, of {routed}"
    columns: list[Column[Touched]] = [
        Column("sequences in the batch", lambda row: plain(row.batch), lambda row: row.batch),
        Column("balanced", lambda row: f"{row.balanced:.2f}", lambda row: row.balanced),
        Column("skewed", lambda row: f"{row.skewed:.2f}", lambda row: row.skewed),
    ]
    chart = line_chart(
        name=f"touched-{index}",
        title=caption,
        description=(
            f"one token touches {model.experts.per_token}; a batch of {found[-1].batch} touches"
            f" {found[-1].balanced:.1f} when all experts are equally popular, {found[-1].skewed:.1f} when they are not"
        ),
        x=Axis("sequences in the batch", found[0].batch, found[-1].batch, plain, doubling=True),
        y=Axis("experts", 0, routed, plain),
        series=[
            Series([(row.batch, row.balanced) for row in found], "line-a"),
            Series([(row.batch, row.skewed) for row in found], "line-b"),
        ],
    )
    key = legend([("line-a", "all equally popular"), ("line-b", "popularity 1/rank (Zipf)")], lines=True)
    return figure(caption, chart, key, table(caption, columns, found))
