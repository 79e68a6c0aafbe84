"""Markdown for step summaries and pull requests: the tally, what changed, a table of deployments, the findings."""

from collections.abc import Iterator

from moesize.gate.results import DeploymentOut, FindingOut, GateResult
from moesize.report.figures import gib
from moesize.report.gate.wording import VERDICTS, tally, worst_gpu
from moesize.report.markdown import escape

_MARKS = {"fits": "✅", "tight": "⚠️", "oom": "❌", "refused": "❌", "undecided": "❔"}
#: GitHub cuts a step's summary at 1 MiB; what is beyond this many rows stands in the other formats.
_ROWS = 200
_HEAD = "| | deployment | model | GPUs | weights | KV cache | total | budget | longest context |"
_RULE = "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |"


def render(result: GateResult) -> str:
    """The whole summary."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: GateResult) -> Iterator[str]:
    yield f"### GPU memory gate: {_safe(tally(result))}"
    yield ""
    if result.changes is not None:
        yield from _changes(result)
    if result.deployments:
        yield from (_HEAD, _RULE)
        yield from map(_row, result.deployments[:_ROWS])
        yield from _more(len(result.deployments))
        yield ""
        yield "GiB per GPU, of the fullest one."
        yield ""
    findings = [one for one in result.findings if one.suppressed is None]
    yield from map(_finding, findings[:_ROWS])
    yield from _more(len(findings))
    alone = [one for one in result.findings if one.suppressed is not None]
    if alone:
        yield from ("", f"<details><summary>{len(alone)} left alone</summary>", "")
        yield from (f"{_finding(one)} ({one.suppressed}: {_safe(one.reason or '')})" for one in alone[:_ROWS])
        yield from _more(len(alone))
        yield from ("", "</details>")


def _changes(result: GateResult) -> Iterator[str]:
    changes = result.changes or []
    if not changes:
        yield from ("No deployment changes its memory.", "")
        return
    yield from ("| deployment | before | after | this change |", "| --- | --- | --- | --- |")
    for one in changes[:_ROWS]:
        yield f"| {_code(one.object)} | {_state(one.before)} | {_state(one.after)} | {_safe(one.text)} |"
    yield from _more(len(changes))
    yield ""


def _state(one: DeploymentOut | None) -> str:
    if one is None:
        return "–"
    gpu = worst_gpu(one)
    total = (
        f", {gib(gpu.total_bytes)} of {gib(gpu.budget_bytes)} GiB"
        if gpu and gpu.total_bytes and gpu.budget_bytes
        else ""
    )
    return f"{_MARKS[one.verdict]} {VERDICTS[one.verdict]}{total}"


def _row(one: DeploymentOut) -> str:
    gpu = worst_gpu(one)
    figures = (gpu.weights_bytes, gpu.kv_cache_bytes, gpu.total_bytes, gpu.budget_bytes) if gpu else (None,) * 4
    cells = [gib(n) if n is not None else "–" for n in figures]
    longest = f"{gpu.max_context:,}" if gpu and gpu.max_context else "–"
    model = one.model or one.model_as_written or "–"
    gpus = " or ".join(dict.fromkeys(f"{g.count or 1}× {g.name}" for g in one.gpus)) or "–"
    mark = f"{_MARKS[one.verdict]} {VERDICTS[one.verdict]}"
    quant = f" {_safe(one.quant)}" if one.quant else ""
    place = _code(f"{one.file}:{one.line}")
    cells = [mark, f"{_code(one.object)} {place}", f"{_code(model)}{quant}", _safe(gpus), *cells, longest]
    return f"| {' | '.join(cells)} |"


def _finding(one: FindingOut) -> str:
    where = _code(f"{one.file}:{one.line}")
    about = f"{_code(one.object)}: " if one.object else ""
    return f"- **{one.level}** `{one.rule}` {where} {about}{_safe(one.message)}. {_safe(one.help)}"


def _more(count: int) -> Iterator[str]:
    if count > _ROWS:
        yield f"\n… and {count - _ROWS} more; the other formats have them all."


def _safe(text: str) -> str:
    """Text nothing in which is markup, a link or a mention."""
    return (
        escape(text)
        .replace("@", "@\u200b")
        .replace("://", ":\u200b//")
        .replace("~", "&#126;")
        .replace("www.", "www\u200b.")
    )


def _code(text: str) -> str:
    """A name as code: nothing in it is markup or a mention."""
    return f"<code>{escape(text).replace('@', '&#64;')}</code>"
