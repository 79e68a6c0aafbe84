"""One sequence of the stated length does not fit into the KV cache.

vLLM refuses to start ("the model's max seq len is larger than the maximum number of tokens that can be stored in KV
cache"); other engines start and turn long requests away. Without `--max-model-len`, vLLM takes the model's whole
context, which may be millions of tokens: not stating a length is the most common cause.

Ways out: state a length that fits (the finding names the longest), an fp8 KV cache, more or larger GPUs.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import gibibytes, place, ways_out, what
from moesize.gate.findings.base import Finding, Level
from moesize.gate.findings.no_kv_cache import longest

ID = "context-too-long"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU whose cache is too small for one sequence."""
    for option in case.failing():
        evaluation = option.outcome.evaluation if option.outcome else None
        question = option.outcome.question if option.outcome else None
        if evaluation is None or question is None or evaluation.judgement.oom_at != "kv_cache":
            continue
        context, fits = question.workload.context_tokens, longest(option)
        if not 0 < fits < context:
            continue
        stated = case.deployment.max_model_len
        whose = f"{context:,} tokens" if stated else f"the model's whole context of {context:,} tokens"
        pool = evaluation.plan.pool
        has = f"; the cache has {gibibytes(pool.n_bytes)} a GPU, enough for {fits:,}" if pool else ""
        help_text = ways_out(case, option, f"a length of at most {fits:,} tokens")
        text = f"{what(case, option)} has no room for {whose}{has}"
        yield Finding(ID, LEVEL, text, help_text, place(case, stated, case.deployment.model))
