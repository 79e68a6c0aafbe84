"""The weights, or the weights and one step's activations, are more than the GPU has.

The server dies while it loads or in its first forward pass. Ollama, and llama.cpp where no layers are stated, keep what
does not fit in host memory and run slowly: that is a warning. All experts of a Mixture-of-Experts model are resident,
so total parameters decide, not active ones; and a "24 GB" card offers a process about 22 GiB. Each GPU the
deployment may land on is judged, and the worst decides.

Ways out: more GPUs with the tensor-parallel size raised to match, a larger card, a smaller quantisation. The
finding names the nearest changes that were tried and fit.

Right to ignore when the file states another GPU than the cluster will give it; better say which with the annotation
`moesize.dev/gpu`.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import place, ways_out, what
from moesize.gate.findings.base import Finding, Level

ID = "does-not-load"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU it does not load on."""
    for option in case.failing():
        evaluation = option.outcome.evaluation if option.outcome else None
        if evaluation is None or evaluation.judgement.oom_at == "kv_cache":
            continue
        reason = "; ".join(evaluation.judgement.reasons)
        where = place(case, case.deployment.model)
        help_text = ways_out(case, option, "no single change that was tried fits; `moesize plan` finds layouts that do")
        if spills(case):
            text = f"{what(case, option)} does not fit, and runs in part from host memory: {reason}"
            yield Finding(ID, Level.WARNING, text, help_text, where)
        else:
            yield Finding(ID, LEVEL, f"{what(case, option)} does not load: {reason}", help_text, where)


def spills(case: Case) -> bool:
    """Whether the engine keeps in host memory what does not fit, unasked."""
    engine = case.deployment.engine.value
    return engine == "ollama" or (engine == "llama.cpp" and case.deployment.gpu_layers is None)
