"""The weights load, but nothing is left for a KV cache.

Engines that reserve their cache in advance stop with a message such as vLLM's "No available memory for the cache
blocks". Weights, activations, CUDA graphs and the runtime take the whole budget.

Ways out: a higher memory utilisation where the card has room, fewer tokens per step (`--max-num-batched-tokens`),
more or larger GPUs, a smaller quantisation.
"""

from collections.abc import Iterator

from moesize.gate.case import Case, Option
from moesize.gate.findings._words import place, ways_out, what
from moesize.gate.findings.base import Finding, Level

ID = "no-kv-cache"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU without room for a single token."""
    for option in case.failing():
        evaluation = option.outcome.evaluation if option.outcome else None
        if evaluation is None or evaluation.judgement.oom_at != "kv_cache" or longest(option) > 0:
            continue
        reason = "; ".join(evaluation.judgement.reasons)
        where = place(case, case.deployment.gpu_memory_utilization, case.deployment.model)
        help_text = ways_out(case, option, "no single change that was tried fits; `moesize plan` finds layouts that do")
        yield Finding(ID, LEVEL, f"{what(case, option)} leaves no KV cache: {reason}", help_text, where)


def longest(option: Option) -> int:
    """Tokens of the longest single sequence the pool holds."""
    pool = option.outcome.evaluation.plan.pool if option.outcome and option.outcome.evaluation else None
    return pool.max_context_tokens if pool else 0
