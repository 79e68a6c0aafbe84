"""The report for a terminal: verdict, bar, receipt, the model, and what would fit. Fits 80 columns.

Colours, words and headlines of a verdict are said here, for every command.
"""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from moesize.report.detail import Detail
from moesize.report.figures import flops, gib, parameters, percent, size, words
from moesize.results import CheckResult, Compute, TermOut

VERDICT_STYLE = {"fits": "bold green", "tight": "bold yellow", "oom": "bold red"}
VERDICT_WORDS = {"fits": "FITS", "tight": "TIGHT", "oom": "OUT OF MEMORY"}
_OOM_WORDS = {"load": " at load", "kv_cache": ": no room for the KV cache", "runtime": " at run time"}

#: category -> (words, colour, the character that draws it without colour)
CATEGORIES = {
    "weights": ("weights", "blue", "█"),
    "kv_cache": ("KV cache", "cyan", "▓"),
    "activation": ("activations", "magenta", "▒"),
    "runtime": ("runtime", "yellow", "░"),
}
_MAX_WIDTH = 100
_NARROW = 80
_SHORT_CHANGE = 28
_NAME_COLUMNS = 26
#: Slower than this, tokens per second are shown with a decimal.
_ROUND_RATE = 10


def render(report: CheckResult, detail: Detail = Detail.USUAL) -> RenderableType:
    """The whole report, its verdict alone, or with formula and source of every term."""
    if detail is Detail.VERDICT:
        return Group(_headline(report), *_reasons(report))
    parts: list[RenderableType] = [_headline(report), *_reasons(report), Text(), _Bar(report), _legend(report)]
    parts += [Text(), _receipt(report), Text(), *_facts(report)]
    if report.suggestions:
        parts += [Text(), Text("What would fit", style="bold"), _suggestions(report)]
    if detail is Detail.ALL:
        parts += [Text(), *origins(report.terms), *_log(report)]
    return Group(*parts, Text(), *_footer(report))


def origins(terms: Iterable[TermOut]) -> list[Text]:
    """Of every term, the formula and where it was read."""
    lines = [Text("Where each term comes from", style="bold")]
    for term in terms:
        outside = "" if term.in_budget else ", outside the budget"
        head = f"  {words(term.term)}: {term.bytes:,} bytes, {_spread(term)}{outside}"
        source = Text(f"    {term.source}", style="dim", no_wrap=True, overflow="ignore")  # to be opened in one piece
        lines += [Text(head), Text(f"    {term.formula}", style="dim"), source]
    return lines


def _log(report: CheckResult) -> list[Text]:
    """What the server's log would say."""
    if not report.predicted_log:
        return []
    head = [Text(), Text("What the server would log", style="bold")]
    return [*head, *(Text(f"  {line}") for line in report.predicted_log)]


def _headline(report: CheckResult) -> Text:
    verdict = VERDICT_WORDS[report.verdict] + _OOM_WORDS.get(report.oom_at or "", "")
    text = Text(verdict, style=VERDICT_STYLE[report.verdict])
    gpus = f"{report.gpu.count}× {report.gpu.name}"
    return text.append(f"  {report.model.name}, {report.quant.name}, on {gpus}", style="bold default")


def _reasons(report: CheckResult) -> list[Text]:
    return [Text(f"  {reason}") for reason in report.reasons]


class _Bar:
    """Budget and use of one GPU as a bar; what is beyond the budget is drawn after a mark."""

    def __init__(self, report: CheckResult) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        per_gpu = self.report.per_gpu
        width = min(options.max_width, _MAX_WIDTH) - 2
        scale = max(per_gpu.budget_bytes, per_gpu.total_bytes, 1)
        mark = round(per_gpu.budget_bytes / scale * width)
        yield Segment("  ")
        drawn = 0
        edge = 0
        for category, (_, colour, char) in CATEGORIES.items():
            edge += getattr(per_gpu, f"{category}_bytes")
            cells = round(edge / scale * width) - drawn
            yield Segment(char * cells, Style(color=colour))
            drawn += cells
        yield Segment("·" * (mark - drawn), Style(dim=True))
        yield Segment("\n")
        if mark < width:
            yield Segment("  " + " " * max(0, mark - 1) + "^ budget\n", Style(dim=True))


def _legend(report: CheckResult) -> Text:
    text = Text("  ")
    for category, (name, colour, char) in CATEGORIES.items():
        text.append(char, style=colour).append(f" {name} {gib(getattr(report.per_gpu, f'{category}_bytes'))} ")
    headroom = report.per_gpu.headroom_bytes
    left = f"· {'free' if headroom >= 0 else 'short'} {gib(abs(headroom))}"
    return text.append(left if len(text) + len(left) <= _NARROW else f"\n  {left}", style="dim")


def _receipt(report: CheckResult) -> Text:
    """Every term; categories add up to the total exactly as their bytes do."""
    per_gpu = report.per_gpu
    lines = [_line("Per GPU", "GiB", "how", "bold")]
    for category, (name, _, _) in CATEGORIES.items():
        terms = [t for t in report.terms if t.category == category and t.in_budget]
        lines.append(_line(name, gib(getattr(per_gpu, f"{category}_bytes")), _how(terms), "bold"))
        if len(terms) > 1:
            lines += [_line(f"  {words(term.term)}", gib(term.bytes), _spread(term), "dim") for term in terms]
    spread = f"{gib(per_gpu.total_low_bytes)}–{gib(per_gpu.total_high_bytes)} with the spread measured"
    lines.append(_line("total", gib(per_gpu.total_bytes), spread, "bold"))
    lines.append(_line("budget", gib(per_gpu.budget_bytes), _budget(report), ""))
    return Text("\n").join(lines)


def _line(name: str, figure: str, note: str, style: str) -> Text:
    return Text(f"{name:<{_NAME_COLUMNS}}{figure:>9}  {note}", style=style)


def _how(terms: list[TermOut]) -> str:
    return ", ".join(dict.fromkeys(term.basis for term in terms)) or "–"


def _spread(term: TermOut) -> str:
    if term.low_bytes == term.high_bytes:
        return term.basis
    return f"{term.basis}, seen {gib(term.low_bytes)}–{gib(term.high_bytes)}"


def _budget(report: CheckResult) -> str:
    budget, memory = report.per_gpu.budget_bytes, report.gpu.memory_bytes
    share = "" if budget == memory else f"{percent(budget, memory)} of the "
    return f"{share}{gib(memory)} GiB the driver reports"


def _facts(report: CheckResult) -> list[Text]:
    model, compute, kv = report.model, report.compute, report.kv_cache
    total, active = model.params.total, model.params.active
    counts = f"{parameters(total)} parameters in memory, {parameters(active)} active per token"
    lines = [_fact("model", counts + _share(report))]
    if model.experts.routed:
        shared = f" + {model.experts.shared} shared" if model.experts.shared else ""
        experts = f"{model.experts.routed} routed{shared}, {model.experts.per_token} per token"
        where = f", in {model.moe_layers} of {model.layers} layers" if model.layers else ""
        lines.append(_fact("experts", experts + where))
    weights = f"{report.quant.bits_per_weight:.2f} bits a parameter, checkpoint {size(report.quant.checkpoint_bytes)}"
    lines.append(_fact("weights", weights))
    lines.append(_fact("KV cache", "not known" if kv.bytes_per_token is None else _cache(report)))
    decode, prefill = flops(compute.flops_per_token), flops(compute.prefill_flops_per_token)
    lines.append(_fact("per token", f"{decode} to decode at {report.workload.context:,} tokens, {prefill} to prefill"))
    if compute.decode_tokens_per_second_bound:
        rate = compute.decode_tokens_per_second_bound
        bound = f"{rate:,.0f}" if rate >= _ROUND_RATE else f"{rate:.2g}"
        bound += f" tokens/s at most, by {compute.bound_by}"
        lines.append(_fact("decoding", f"{bound} ({size(compute.bytes_read_per_step)} read a step per GPU)"))
    if compute.host_read_bytes_per_token or compute.host_link_bytes_per_token:
        lines.append(_fact("host", _host(compute)))
    return lines


def _host(compute: Compute) -> str:
    """What weights in host memory cost a token, and what the bound does not count."""
    text = f"{size(compute.host_weights_bytes)} of weights in host memory; a token"
    if compute.host_read_bytes_per_token:
        text += f" reads {size(compute.host_read_bytes_per_token)} there and"
    text += f" moves {size(compute.host_link_bytes_per_token)} over the host link"
    if compute.bound_leaves_out:
        text += "; the bound leaves out host memory: --host-bandwidth 2xDDR5-5600, or yours"
    return text


def _share(report: CheckResult) -> str:
    params = report.model.params
    return f" ({percent(params.active, params.total)})" if params.active != params.total else ""


def _cache(report: CheckResult) -> str:
    kv = report.kv_cache
    text = f"{size(kv.bytes_per_token or 0)} a token ({report.workload.kv_dtype})"
    if kv.state_bytes_per_sequence:
        text += f" + {size(kv.state_bytes_per_sequence)} a sequence"
    if report.oom_at == "load" or not kv.pool_tokens:
        return text
    text += f"; pool {size(kv.pool_bytes or 0)} = {kv.pool_tokens:,} tokens"
    return text + f": {kv.max_concurrency:g} sequences of {report.workload.context:,}, or one of {kv.max_context:,}"


def _fact(name: str, text: str) -> Text:
    line = Text(f"{name:<11}", style="bold")
    line.append(text, style="default not bold")
    return line


def _suggestions(report: CheckResult) -> Text:
    """What to type, what it means, and what comes out; the outcome has a line of its own where there is no room."""
    option = max(len(s.option) for s in report.suggestions)
    change = max((len(s.change) for s in report.suggestions if len(s.change) <= _SHORT_CHANGE), default=0)
    lines = []
    for s in report.suggestions:
        line = Text(f"  {s.option:<{option}}  {s.change:<{change}}  ")
        outcome = f"{s.verdict}, {gib(s.headroom_bytes)} GiB free per GPU" + (f"; {s.note}" if s.note else "")
        if len(line) + len(outcome) > _NARROW:
            line = Text(f"  {s.option:<{option}}  {s.change}\n{'':{option + 4}}")
            if option + 4 + len(outcome) > _NARROW:
                outcome = outcome.replace("; ", f"\n{'':{option + 4}}")
        lines.append(line.append(outcome, style=VERDICT_STYLE[s.verdict].removeprefix("bold ")))
    return Text("\n").join(lines)


def _footer(report: CheckResult) -> list[Text]:
    work = report.workload
    source = " (default)" if work.context_source == "default" else ""
    asked = f"{work.concurrency} × {work.context:,} tokens{source}"
    engine = f"{report.engine.name} {report.engine.version}, tp {report.layout.tp}"
    for name in ("pp", "dp", "ep", "dcp"):
        if getattr(report.layout, name) > 1:
            engine += f", {name} {getattr(report.layout, name)}"
    engine += f"; speculating: {work.speculative}" if work.speculative else ""
    lines = [f"{asked}; {engine}; memory in GiB (2^30 bytes)", f"model: {report.model.source}"]
    return [Text(line, style="dim") for line in (*lines, *(f"note: {note}" for note in report.notes))]
