"""The GPUs a copy gets are not the GPUs its layout spreads over.

Tensor × pipeline × data parallel size must be the GPUs of all pods of one copy. Too few: the server does not start.
Too many: the rest stand idle and are paid for; vLLM, SGLang and TensorRT-LLM use one GPU when no size is stated.

Not counted: whether the pods land on one node, which tensor parallelism wants.
"""

from collections.abc import Iterator

from moesize.gate.case import Case, Option
from moesize.gate.findings._words import place
from moesize.gate.findings.base import Finding, Level

ID = "gpu-count"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per number of GPUs that differs from the layout's."""
    seen: set[tuple[int, int]] = set()
    for option in case.options:
        given, needed = option.gpus_given, option.gpus_needed
        if given is None or needed is None or given == needed or (given, needed) in seen:
            continue
        seen.add((given, needed))
        yield _finding(case, option, given, needed)


def _finding(case: Case, option: Option, given: int, needed: int) -> Finding:
    deployment = case.deployment
    sizes = (
        ("tp", deployment.tensor_parallel),
        ("pp", deployment.pipeline_parallel),
        ("dp", deployment.data_parallel),
    )
    stated = " × ".join(f"{name} {fact.value}" for name, fact in sizes if fact)
    layout = (
        f"the layout ({stated}) needs {_gpus(needed)}"
        if stated
        else f"no parallel size is stated, so it uses {_gpus(needed)}"
    )
    where = f" of {option.choice.name.value}" if option.choice and len(case.options) > 1 else ""
    if given < needed:
        count = option.choice.count if option.choice else None
        text = f"{layout}, and one copy gets {_gpus(given)}{where}: it does not start"
        help_text = f"request {needed} GPUs, or spread over {given}"
        return Finding(
            ID, Level.ERROR, text, help_text, place(case, deployment.gpu_count, count, deployment.tensor_parallel)
        )
    text = f"{layout}, and one copy gets {_gpus(given)}{where}: {given - needed} stand idle"
    help_text = f"request {needed}, or raise the tensor-parallel size"
    return Finding(ID, Level.WARNING, text, help_text, place(case, deployment.tensor_parallel, deployment.gpu_count))


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"
