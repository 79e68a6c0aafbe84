"""The engine refuses the layout or a setting before it loads anything.

Attention heads that do not divide by the tensor-parallel size, experts or a quantisation block that do not, more
pipeline stages than layers, a setting the engine does not have, a utilisation above 1, a length beyond the
positions the model was made for. That last one is a warning, for a launch may scale the positions (RoPE scaling).
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import on_gpus, place
from moesize.gate.findings.base import Finding, Level

ID = "refused"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per reason."""
    deployment = case.deployment
    engine = deployment.engine.value
    reasons: dict[str, str] = {}
    for option in case.options:
        if option.outcome and option.outcome.refusal:
            reasons.setdefault(option.outcome.refusal, on_gpus(option))
    for reason, gpus in reasons.items():
        where = place(case, deployment.tensor_parallel, deployment.model)
        yield Finding(
            ID, LEVEL, f"{engine} refuses this on {gpus}: {reason}", "change the setting the sentence names", where
        )
    stated, longest = deployment.max_model_len, case.model.context_length if case.model else None
    per_slot = max(1, deployment.max_num_seqs.value) if engine == "llama.cpp" and deployment.max_num_seqs else 1
    if stated and longest and case.model and stated.value // per_slot > longest:
        text = f"a length of {stated.value:,} tokens is beyond the {longest:,} {case.model.name} is made for"
        help_text = f"at most {longest:,}, unless the launch scales the positions"
        yield Finding(ID, Level.WARNING, text, help_text, place(case, stated))
