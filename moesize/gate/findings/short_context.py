"""The server takes shorter sequences than the policy asks for.

`context` in the policy is the length every deployment of a path must accept. It is compared with the stated length,
or with the model's own where none is stated; whether the memory suffices for it is judged by `context-too-long`.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import place
from moesize.gate.findings.base import Finding, Level

ID = "short-context"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """At most one finding."""
    wanted, stated = case.demands.context_tokens, case.deployment.max_model_len
    if wanted is None or case.model is None:
        return
    length = stated.value if stated and stated.value > 0 else case.model.context_length
    if stated and stated.value > 0 and case.deployment.engine.value == "llama.cpp" and case.deployment.max_num_seqs:
        length = stated.value // max(1, case.deployment.max_num_seqs.value)
    if length is not None and length < wanted:
        text = f"takes sequences of {length:,} tokens; the policy asks for {wanted:,}"
        yield Finding(
            ID,
            LEVEL,
            text,
            f"a length of {wanted:,}, or an override for this path",
            place(case, stated, case.deployment.model),
        )
