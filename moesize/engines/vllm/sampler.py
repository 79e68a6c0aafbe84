"""The sampler's part of the profile run: which runner samples, over how many copies of the logits, and what it keeps.

Sources: vllm `v1/worker/gpu_model_runner.py` and `v1/worker/gpu/model_runner.py` (`_dummy_sampler_run`),
`v1/sample/ops/topk_topp_sampler.py`, `v1/worker/gpu/sample/`.
"""

from collections.abc import Mapping
from typing import Any

from moesize.engines.base import Request, Term, exact
from moesize.engines.vllm.constants import Rules
from moesize.model.spec import CacheKind
from moesize.units import DTYPE_BYTES


def second_runner(request: Request, rules: Rules) -> bool:
    """Whether the second model runner serves this request by default, which the versions took up family by family."""
    entry = rules.entry("second_runner")
    spec, found = request.spec, request.options.speculation
    if found is not None and found.method in entry["not_methods"]:
        return False
    if spec.architecture in entry["families"]:
        return not entry["unquantised"] or request.scheme.format is None
    stateful = any(cache.kind is CacheKind.STATE for cache in spec.caches)
    every: bool = entry["models"] == "all" or (entry["models"] == "dense" and not spec.experts.routed and not stateful)
    return every


def sampler_bytes(request: Request, seqs: int, rules: Rules) -> tuple[int, int, int]:
    """Transients of the sampler over one row of logits per sequence: low, nominal, high.

    With speculation the first runner's profile run verifies a draft token per sequence besides.
    """
    spec, tp = request.spec, request.layout.tp
    width = DTYPE_BYTES[spec.dtype]
    logits = seqs * (spec.vocab_size or 0)
    low, value, high = (per_logit + width - 2 for per_logit in _bytes_per_logit(request, rules))
    # ranks gather their parts of the logits, and lay them side by side in a copy
    gathered = width * (2 + 1 / tp) if tp > 1 else 0
    return round(logits * max(low, gathered)), round(logits * max(value, gathered)), round(logits * max(high, gathered))


def _bytes_per_logit(request: Request, rules: Rules) -> tuple[float, float, float]:
    """Per (sequence × vocabulary row), the logits themselves in two bytes."""
    if second_runner(request, rules):
        entry = rules.entry("second_sampler_bytes_per_logit")
        native, fused = entry["native"], entry["flashinfer"]
        runs = _flashinfer_runs(request, entry)
        return (native, native, native) if runs is False else (fused if runs else native, fused, fused)
    if request.options.speculation is not None:
        entry = rules.entry("rejection_bytes_per_logit")
        return entry["low"], entry["value"], entry["high"]
    entry = rules.entry("sampler_bytes_per_logit")
    runs = _flashinfer_runs(request, entry)
    if runs and "flashinfer" in entry:
        return entry["flashinfer"], entry["flashinfer"], entry["flashinfer"]
    return entry["native_low"] if runs is False else entry["low"], entry["value"], entry["high"]


def _flashinfer_runs(request: Request, entry: Mapping[str, Any]) -> bool | None:
    """Whether FlashInfer's sampler takes this card and may run; None where nothing says so."""
    gpu, asked = request.gpu, request.options.flashinfer_sampler
    if gpu.vendor.lower() == "amd" or asked is False:
        return False
    lowest, highest = (tuple(entry[key]) for key in ("lowest_capability", "highest_capability"))
    if gpu.compute_capability is not None and not lowest <= tuple(gpu.compute_capability) <= highest:
        return False
    return asked


def sampler_state(request: Request, seqs: int, rules: Rules) -> Term | None:
    """What the second runner keeps per sequence slot; None with the first.

    Until 0.26 memory torch took between loading and the profile run was in no figure of it: it lies beside the budget.
    """
    if not second_runner(request, rules):
        return None
    entry = rules.entry("runner_persistent")
    state = round(seqs * ((request.spec.vocab_size or 0) * entry["bytes_per_logit"] + entry["bytes_per_seq"]))
    formula = f"{seqs} sequences × (vocabulary × {entry['bytes_per_logit']} B + {entry['bytes_per_seq']} B)"
    term = exact("sampler state", "activation", state, "engine rule", formula, entry["source"])
    return term._replace(in_budget=rules.counts_free_memory)
