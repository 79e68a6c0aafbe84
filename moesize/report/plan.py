"""`plan` for a terminal and as JSON."""

import json
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.text import Text

from moesize.plan import Choice, Plan
from moesize.report.detail import Detail
from moesize.report.figures import gib
from moesize.report.tables import plain_table


def to_json(plan: Plan) -> str:
    """Schema `moesize.plan/1`."""
    return json.dumps(asdict(plan), indent=2, ensure_ascii=False) + "\n"


def render(plan: Plan, detail: Detail = Detail.USUAL) -> RenderableType:
    """The front as a table, the command of each choice, and the near misses; or the front alone."""
    default = " (default)" if plan.context_source == "default" else ""
    asked = f"{plan.model}: {plan.concurrency} × {plan.context:,} tokens{default}"
    head = f"{asked}; {plan.considered} layouts fit, these {len(plan.choices)} are not beaten by another"
    parts: list[RenderableType] = [Text(head, style="bold"), Text(), _table(plan)]
    if detail is Detail.VERDICT:
        return Group(*parts)
    parts += [Text(), *(_command(i, choice, detail) for i, choice in enumerate(plan.choices, 1))]
    if plan.near_misses:
        parts += [Text(), Text("Near misses", style="bold")]
        parts += [Text(f"  {m.gpus}× {m.gpu}, {m.quant}: {m.reason}") for m in plan.near_misses]
    if plan.skipped:
        parts += [Text(), *(Text(f"skipped: {why}", style="dim") for why in plan.skipped)]
    dates = sorted({c.price_date for c in plan.choices if c.price_date})
    prices = f" Prices are list prices of {dates[0]} to {dates[-1]}." if dates else ""
    return Group(*parts, Text(), Text(f"Speeds are upper bounds, not predictions.{prices}", style="dim"))


def _table(plan: Plan) -> RenderableType:
    table = plain_table("", "GPUs", "quant", "layout", "$/h>", "tokens/s ≤>", "each ≤>", "first token ≥>", "free GiB>")
    for number, c in enumerate(plan.choices, 1):
        table.add_row(
            str(number),
            f"{c.gpus}× {c.gpu}",
            c.quant,
            _layout(c),
            f"{c.usd_per_hour:.2f}" if c.usd_per_hour is not None else "–",
            f"{c.tokens_per_second_bound:,.0f}" if c.tokens_per_second_bound else "–",
            f"{c.tokens_per_second_per_sequence_bound:,.1f}" if c.tokens_per_second_per_sequence_bound else "–",
            f"{c.seconds_to_first_token_bound:.2f} s" if c.seconds_to_first_token_bound else "–",
            gib(c.headroom_bytes),
        )
    return table


def _layout(choice: Choice) -> str:
    sizes = (("tp", choice.tp), ("pp", choice.pp), ("dp", choice.dp))
    return " ".join(f"{name}{n}" for name, n in sizes if n > 1) or "tp1"


def _command(number: int, choice: Choice, detail: Detail) -> Text:
    where = f" on {choice.instance}" if choice.instance else ""
    if detail is Detail.ALL:
        where += f"; weights {gib(choice.weights_bytes)} GiB a GPU, cache {choice.kv_dtype}"
        where += f", at most {choice.max_context:,} tokens" if choice.max_context else ""
        where += f", bound by {choice.bound_by}" if choice.bound_by else ""
        where += f"; price of {choice.price_date}" if choice.price_date else ""
    text = Text(f"{number}.{where}\n", style="bold", no_wrap=True, overflow="ignore")  # to be copied in one piece
    return text.append("".join(f"   {line}\n" for line in choice.commands.values()), style="default not bold")
