"""A probe for a terminal and as JSON: prediction, measurement and difference, term by term."""

import json
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moesize.probe.results import ProbeResult, Row
from moesize.report.detail import Detail
from moesize.report.figures import counted, percent, size, words
from moesize.report.tables import plain_table
from moesize.report.text import origins

_OUTCOME_STYLE = {"completed": "bold green", "planned": "bold"}


def to_json(result: ProbeResult) -> str:
    """Schema `moesize.probe/1`."""
    document = asdict(result)
    for row, entry in zip(result.rows, document["rows"], strict=True):
        entry["difference_bytes"] = row.difference_bytes
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def render(result: ProbeResult, detail: Detail = Detail.USUAL) -> RenderableType:
    """The whole report, how it ended and the verdicts alone, or with formula and source of every predicted term."""
    asked = result.asked
    head = Text(result.outcome.upper(), style=_OUTCOME_STYLE.get(result.outcome, "bold yellow"))
    where = f"  {asked.model}, {asked.quant}, rank {asked.rank} of {asked.tp}, on {result.device.name}"
    head.append(where, style="bold default")
    if detail is Detail.VERDICT:
        return Group(head, *_failure(result), *_verdict(result))
    parts: list[RenderableType] = [head, *_failure(result), Text(), *_device(result), Text(), _table(result), Text()]
    parts += _verdict(result)
    if detail is Detail.ALL:
        parts += [Text(), *origins(result.terms), Text()]
    return Group(*parts, *_notes(result))


def _failure(result: ProbeResult) -> list[Text]:
    failure = result.failure
    high = f"  high-water mark {size(result.high_water_bytes)}; {size(result.left_over_bytes)} left allocated"
    if failure is None:
        return [] if result.outcome == "planned" else [Text(high)]
    what = f"  at {words(failure.term)}: {size(failure.n_bytes)} for {failure.tensor}; {failure.message}"
    return [Text(what), Text(high)]


def _device(result: ProbeResult) -> list[Text]:
    facts = result.device
    lines = [f"device    {size(facts.total_bytes)} by the driver, {size(facts.free_bytes)} free"]
    if found := result.catalogue:
        lines.append(
            f"catalogue {found.id}: {size(found.memory_bytes)}, {_signed(found.difference_bytes)} by the driver"
        )
    if facts.others_bytes is not None:
        lines.append(f"others    {size(facts.others_bytes)} in use before the probe, the driver's own share included")
    software = ", ".join(t for t in (facts.driver and f"driver {facts.driver}", facts.runtime) if t)
    if facts.torch:
        lines.append(f"software  torch {facts.torch}" + (f", {software}" if software else ""))
    return [Text(line) for line in lines]


def _table(result: ProbeResult) -> Table:
    table = plain_table("term", "predicted>", "measured>", "difference>", "")
    for row in result.rows:
        table.add_row(words(row.term), _predicted(row), _size(row.measured_bytes), _difference(row), _note(row))
    return table


def _note(row: Row) -> str:
    seen = ""
    if row.predicted_low_bytes is not None and row.predicted_low_bytes != row.predicted_high_bytes:
        seen = f"public runs: {size(row.predicted_low_bytes)} to {size(row.predicted_high_bytes or 0)}"
    if row.allocated_bytes is not None and row.allocated_bytes != row.measured_bytes:
        seen = f"extrapolated from {size(row.allocated_bytes)}"
    return "; ".join(text for text in (row.note, seen) if text)


def _predicted(row: Row) -> str:
    return _size(row.predicted_bytes)


def _size(n_bytes: int | None) -> str:
    return "–" if n_bytes is None else size(n_bytes)


def _difference(row: Row) -> str:
    difference = row.difference_bytes
    if difference is None:
        return "–"
    if not difference or not row.predicted_bytes:
        return _signed(difference) if difference else "0"
    return f"{_signed(difference)} ({percent(difference, row.predicted_bytes)})"


def _signed(n_bytes: int) -> str:
    return ("+" if n_bytes > 0 else "−" if n_bytes < 0 else "±") + size(abs(n_bytes))


def _verdict(result: ProbeResult) -> list[Text]:
    held = result.comparison
    lines = [f"predicted {held.predicted}: {size(held.predicted_total_bytes)} of a budget of {size(held.budget_bytes)}"]
    if held.measured_total_bytes is not None:
        lines.append(f"measured  {held.measured}: {size(held.measured_total_bytes)}")
    elif held.measured is not None:
        lines.append(f"measured  {held.measured}: the allocation failed")
    return [Text(line, style="bold") for line in lines]


def _notes(result: ProbeResult) -> list[Text]:
    asked = result.asked
    step = f"{asked.max_num_batched_tokens:,} tokens and {asked.max_num_seqs:,} sequences a step"
    default = " (default)" if asked.context_source == "default" else ""
    work = f"{asked.concurrency} × {asked.context:,} tokens{default}, {asked.kv_dtype} cache; {step}"
    lines = [f"{work}; {asked.engine} {asked.engine_version}; sizes in GiB (2^30 bytes)"]
    if asked.measured_layers < asked.layers:
        few = (
            f"{asked.measured_layers} of {asked.layers} layers, of {counted(asked.layer_kinds, 'kind')}, were allocated"
        )
        lines.append(f"{few}; the rest is multiplied from them")
    return [Text(line, style="dim") for line in (*lines, *(f"note: {note}" for note in result.notes))]
