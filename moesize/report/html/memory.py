"""Memory per GPU by term: one bar per deployment, with the budget and the interval."""

from typing import Final

from moesize.report.figures import gib
from moesize.report.html.markup import Markup, tag
from moesize.report.html.parts import called, legend, verdict
from moesize.report.html.svg import bar, ruler
from moesize.results import CheckResult
from moesize.survey import Survey
from moesize.units import GIB

#: category -> (words, class)
CATEGORIES: Final = {
    "weights": ("weights", "weights"),
    "kv_cache": ("KV cache", "kv-cache"),
    "activation": ("activations", "activation"),
    "runtime": ("runtime", "runtime"),
}
#: How far the scale reaches beyond what it has to show, and how far at most, in budgets.
_ROOM, _MOST_OVER_BUDGET = 1.02, 1.6


def bars(survey: Survey) -> Markup:
    """One bar per deployment, all on one scale, with the budget and the interval."""
    results = [case.result for case in survey.cases]
    largest_budget = max(r.per_gpu.budget_bytes for r in results)
    largest_total = max(r.per_gpu.total_high_bytes for r in results)
    scale = max(largest_budget * _ROOM, min(largest_total * _ROOM, largest_budget * _MOST_OVER_BUDGET))
    rows = [tag("li", _bar(result, index, scale)) for index, result in enumerate(results)]
    named = [(style, words) for words, style in CATEGORIES.values()]
    return tag(
        "div",
        legend(named),
        legend([("limit", "budget of one GPU"), ("spread", "interval of the total")], lines=True),
        tag("ul", rows, class_="bars"),
        ruler(scale / GIB, lambda value: f"{value:g}"),
        tag("p", "GiB per GPU (2^30 bytes), on the GPU that holds most", class_="unit"),
        class_="memory",
    )


def _bar(result: CheckResult, index: int, scale: float) -> list[Markup]:
    per_gpu = result.per_gpu
    parts = [(words, style, getattr(per_gpu, f"{key}_bytes")) for key, (words, style) in CATEGORIES.items()]
    listed = ", ".join(f"{words} {gib(n_bytes)}" for words, _, n_bytes in parts)
    total = f"{gib(per_gpu.total_bytes)} of {gib(per_gpu.budget_bytes)} GiB"
    free = f"{gib(abs(per_gpu.headroom_bytes))} GiB {'free' if per_gpu.headroom_bytes >= 0 else 'short'}"
    between = f"{gib(per_gpu.total_low_bytes)}–{gib(per_gpu.total_high_bytes)}"
    drawn = bar(
        name=f"bar-{index}",
        title=f"Memory of one GPU: {called(result)}",
        description=f"{listed}: {total}, {free}; the total was seen between {between} GiB",
        segments=[(style, n_bytes) for _, style, n_bytes in parts],
        scale=scale,
        limit=per_gpu.budget_bytes,
        interval=(per_gpu.total_low_bytes, per_gpu.total_high_bytes),
    )
    figures = tag("p", f"{listed} = {total}, {free} ({between} with the spread measured)", class_="figures")
    reasons = [tag("p", reason, class_="reason") for reason in result.reasons]
    named = tag("h3", called(result), " ", verdict(result.verdict, result.oom_at))
    return [named, drawn, figures, *reasons]
