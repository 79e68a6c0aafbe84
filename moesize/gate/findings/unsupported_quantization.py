"""The GPU has no kernels for the weights or the cache as asked.

FP8 weights need compute capability 7.5 for vLLM's weight-only kernel and 8.9 to compute in them; bfloat16 needs
8.0; NVFP4 and MXFP4 have limits of their own, as an fp8 cache has. The sources of the limits stand in `moesize
quants`.

Ways out: a quantisation the card runs, or a newer card.
"""

from collections.abc import Iterator

from moesize.errors import InputError
from moesize.gate.case import Case, Option
from moesize.gate.findings._words import place
from moesize.gate.findings.base import Finding, Level
from moesize.quant.hardware import Level as Support
from moesize.quant.hardware import gpu_support
from moesize.quant.kv import check_kv

ID = "unsupported-quantization"
LEVEL = Level.ERROR


def check(case: Case) -> Iterator[Finding]:
    """One finding per GPU and format it cannot run."""
    deployment = case.deployment
    for option in case.options:
        weights, cache = _missing(option)
        if option.gpu is None:
            continue
        if weights:
            where = place(case, deployment.quantization, deployment.dtype, deployment.model)
            text = f"{option.gpu.name} cannot run these weights: {weights}"
            yield Finding(ID, LEVEL, text, "another quantisation, or a card of a newer generation", where)
        if cache:
            where = place(case, deployment.kv_cache_dtype)
            text = f"{option.gpu.name} cannot keep this KV cache: {cache}"
            yield Finding(ID, LEVEL, text, "`--kv-cache-dtype auto`, or a card of a newer generation", where)


def _missing(option: Option) -> tuple[str, str]:
    """What the card lacks for the weights, and for the cache."""
    question = option.outcome.question if option.outcome else None
    if option.gpu is None or option.gpu.compute_capability is None or question is None:
        return "", ""
    major, minor = option.gpu.compute_capability
    capability = float(f"{major}.{minor}")
    support = gpu_support(question.scheme, capability, engine=question.engine)
    weights = support.text if support.level is Support.UNSUPPORTED else ""
    try:
        check_kv(question.kv, capability=capability)
    except InputError as error:
        return weights, str(error)
    return weights, ""
