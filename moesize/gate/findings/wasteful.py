"""The same length and concurrency fit on half the GPUs.

Memory alone is no reason for this many. Throughput may be: more GPUs read the weights faster and leave a larger
cache for more sequences at once, which is why this is a note. Ask for what is needed with the policy's `context`
and `concurrency`, and the note goes where the GPUs are needed for it.

Ignore it with the reason: `moesize.dev/ignore-wasteful: "latency"`.
"""

from collections.abc import Iterator
from dataclasses import replace

from moesize.gate.case import Case, Option
from moesize.gate.findings._words import on_gpus, place
from moesize.gate.findings.base import Finding, Level
from moesize.memory.layout import Layout

ID = "wasteful"
LEVEL = Level.NOTE


def check(case: Case) -> Iterator[Finding]:
    """At most one finding: every GPU it may run on must do with half."""
    halves = [_on_half(case, option) for option in case.options]
    enough = all(option.gpus_given in (None, option.gpus_needed) for option in case.options)
    if case.verdict != "fits" or not enough or not halves or not all(halves):
        return
    option = case.options[0]
    count = halves[0].gpus if halves[0] else 0
    text = f"{on_gpus(option)} hold what {count} would: the same length and concurrency fit on half the GPUs"
    help_text = f"{count} GPU{'s' if count > 1 else ''}, unless speed or more sequences at once are wanted"
    yield Finding(ID, LEVEL, text, help_text, place(case, case.deployment.tensor_parallel))


def _on_half(case: Case, option: Option) -> Layout | None:
    """The layout with half the tensor-parallel ranks, or half the stages, if it fits."""
    question = option.outcome.question if option.outcome else None
    if question is None:
        return None
    layout = question.layout
    if layout.tp % 2 == 0:
        half = replace(layout, tp=layout.tp // 2)
    elif layout.pp % 2 == 0:
        half = replace(layout, pp=layout.pp // 2)
    else:
        return None
    evaluation = case.try_again(replace(question, layout=half))
    return half if evaluation is not None and evaluation.judgement.verdict == "fits" else None
