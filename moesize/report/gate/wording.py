"""Sentences the gate's formats share."""

from moesize.gate.results import DeploymentOut, GateResult, GpuOut
from moesize.report.figures import counted, gib

VERDICTS = {"fits": "fits", "tight": "tight", "oom": "does not fit", "refused": "refused", "undecided": "undecided"}


def workflow_safe(text: str) -> str:
    """`text` in which a log reader finds no workflow command (`::set-output`, `##[group]`)."""
    return text.replace("::", ": :").replace("##[", "## [")


def log_safe(json_text: str) -> str:
    """JSON in which a log reader finds no command of the older spelling; it reads back as the same."""
    return json_text.replace("##[", "##\\u005b")


def tally(result: GateResult) -> str:
    """`3 deployments: 1 fits, 1 does not fit, 1 undecided; 1 error, 2 warnings, 1 ignored`."""
    s = result.summary
    verdicts = [f"{getattr(s, key)} {words}" for key, words in VERDICTS.items() if getattr(s, key)]
    found = [counted(s.errors, "error"), counted(s.warnings, "warning"), counted(s.notes, "note")]
    if s.suppressed:
        found.append(f"{s.suppressed} left alone")
    if s.skipped:
        found.append(f"{s.skipped} skipped (not deployed, or not on a GPU)")
    return f"{counted(s.deployments, 'deployment')}: {', '.join(verdicts) or 'none'}; {', '.join(found)}"


def title(one: DeploymentOut) -> str:
    """`Deployment/serving/mixtral: mixtral-8x7b (fp16), 2× A10G, 32,768 tokens, vllm`."""
    model = one.model or one.model_as_written or "model not known"
    quant = f" ({one.quant})" if one.quant else ""
    gpus = " or ".join(dict.fromkeys(_gpu(gpu) for gpu in one.gpus)) or "GPU not known"
    tokens = f", {one.context:,} tokens" if one.context else ""
    version = f" {one.engine_version}" if one.engine_version else ""
    return f"{one.object}: {model}{quant}, {gpus}{tokens}, {one.engine}{version}"


def worst_gpu(one: DeploymentOut) -> GpuOut | None:
    """The GPU that decides a deployment's verdict, with figures."""
    order = ("fits", "tight", "undecided", "refused", "oom")
    having = [gpu for gpu in one.gpus if gpu.total_bytes is not None]
    return max(having, key=lambda gpu: (order.index(gpu.verdict), -(gpu.headroom_bytes or 0)), default=None)


def memory(one: DeploymentOut) -> str:
    """`23.00 of 40.50 GiB a GPU`, or nothing."""
    gpu = worst_gpu(one)
    if gpu is None or gpu.total_bytes is None or gpu.budget_bytes is None:
        return ""
    return f"{gib(gpu.total_bytes)} of {gib(gpu.budget_bytes)} GiB a GPU"


def _gpu(gpu: GpuOut) -> str:
    return f"{gpu.count}× {gpu.name}" if gpu.count and gpu.count > 1 else gpu.name
