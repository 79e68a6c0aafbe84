"""One sequence fits, the number asked for at once does not.

The number comes from the policy's `concurrency`, from `concurrency` of the plain form, or from llama.cpp's slots,
which it allocates in advance. Engines with a paged cache still start: they queue or preempt what does not fit.

Ways out: fewer or shorter sequences, an fp8 KV cache, more replicas, more or larger GPUs.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import place, ways_out, what
from moesize.gate.findings.base import Finding, Level
from moesize.gate.findings.no_kv_cache import longest

ID = "concurrency-too-high"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU that holds a sequence but not as many as asked."""
    for option in case.failing():
        evaluation = option.outcome.evaluation if option.outcome else None
        question = option.outcome.question if option.outcome else None
        if evaluation is None or question is None or evaluation.judgement.oom_at != "kv_cache":
            continue
        work, pool = question.workload, evaluation.plan.pool
        if pool is None or longest(option) < work.context_tokens:
            continue
        text = (
            f"{what(case, option)} holds {pool.max_concurrency:.1f} sequences of {work.context_tokens:,} tokens"
            f" at once, and {work.concurrency} are asked for"
        )
        help_text = ways_out(case, option, "fewer sequences at once, or more replicas")
        where = place(case, case.deployment.concurrency, case.deployment.max_num_seqs, case.deployment.model)
        yield Finding(ID, LEVEL, text, help_text, where)
