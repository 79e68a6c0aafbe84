"""`explain` for a terminal and as JSON."""

import json
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moesize.explain import Explanation
from moesize.report.figures import counted, parameters, percent, size, words
from moesize.report.tables import plain_table


def to_json(explanation: Explanation) -> str:
    """Schema `moesize.explain/1`."""
    return json.dumps(asdict(explanation), indent=2, ensure_ascii=False) + "\n"


def render(explanation: Explanation) -> RenderableType:
    """The picture: counts, where they are, what is cached, experts a batch touches, dense models beside it."""
    params = explanation.params
    active = f"{parameters(params.active)} active per token ({percent(params.active, params.total)})"
    head = Text(f"{explanation.name}: {parameters(params.total)} parameters in memory, {active}", style="bold")
    parts: list[RenderableType] = [head, *_lines(explanation), Text(), _tree(explanation)]
    if explanation.caches:
        parts += [Text(), _caches(explanation)]
    if explanation.experts_touched:
        parts += [Text(), _touched(explanation), Text(), *_dense(explanation)]
    return Group(*parts, *(Text(f"note: {note}", style="dim") for note in explanation.notes))


def _lines(explanation: Explanation) -> list[Text]:
    params, experts = explanation.params, explanation.experts
    context = f", context {explanation.context_length:,}" if explanation.context_length else ""
    layers = f"{counted(explanation.layers, 'layer')}{context}, stored as {explanation.stored_as}"
    lines = [Text(f"  {explanation.architecture}, {layers}")]
    if experts.routed:
        shared = f" + {experts.shared} shared" if experts.shared else ""
        per_layer = f"{experts.routed} routed experts{shared}, {experts.per_token} per token"
        lines.append(Text(f"  {per_layer}, in {counted(explanation.moe_layers, 'layer')}"))
    without = parameters(params.active_excluding_input_embedding), parameters(params.active_excluding_embeddings)
    lines.append(Text(f"  active without the input embedding {without[0]}, without both embeddings {without[1]}"))
    if explanation.stored_not_loaded:
        why = " unless they draft (MTP)" if "mtp" in params.by_role else ""
        lines.append(Text(f"  {parameters(explanation.stored_not_loaded)} more are stored, not loaded{why}"))
    lines.append(Text(f"  model: {explanation.source}", style="dim"))
    return lines


def _tree(explanation: Explanation) -> Table:
    table = plain_table("where", "layers", "parameters>", "share>", "active>")
    for group in explanation.groups:
        table.add_row(
            words(group.role),
            group.layers,
            parameters(group.parameters),
            percent(group.parameters, explanation.params.total),
            parameters(group.active) if group.active else "–",
        )
    return table


def _caches(explanation: Explanation) -> Table:
    table = plain_table("cache", "layers>", "keeps", "per token>", "per sequence>")
    for cache in explanation.caches:
        window = f", last {cache.window_tokens:,} tokens" if cache.window_tokens else ""
        table.add_row(
            words(cache.kind),
            str(cache.layers),
            cache.shape + window,
            size(cache.bytes_per_token) if cache.bytes_per_token else "–",
            size(cache.bytes_per_sequence) if cache.bytes_per_sequence else "–",
        )
    grows = size(explanation.kv_bytes_per_token)
    table.add_row("total", "", "for a long sequence", grows, size(explanation.state_bytes_per_sequence), style="bold")
    return table


def _touched(explanation: Explanation) -> Table:
    table = plain_table("sequences decoded at once", *(f"{t.batch}>" for t in explanation.experts_touched))
    routed = explanation.experts.routed
    table.add_row(f"of {routed} experts touched", *(f"{t.balanced:.3g}" for t in explanation.experts_touched))
    table.add_row("with skewed routing", *(f"{t.skewed:.3g}" for t in explanation.experts_touched), style="dim")
    return table


def _dense(explanation: Explanation) -> list[Text]:
    rows = (("memory", explanation.dense_of_equal_memory), ("compute", explanation.dense_of_equal_compute))
    return [
        Text(f"dense models of equal {what}: " + ", ".join(f"{m.name} ({parameters(m.parameters)})" for m in models))
        for what, models in rows
    ]
