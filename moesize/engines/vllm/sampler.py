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
    """The sampler's part of the peak, over one row of logits per sequence: low, nominal, high.

    With speculation the first runner's profile run verifies a draft token per sequence besides.
    """
    spec, tp = request.spec, request.layout.tp
    width, rows = DTYPE_BYTES[spec.dtype], spec.vocab_size or 0
    # ranks gather their parts of the logits, and lay them side by side in a copy
    gathered = width * (2 + 1 / tp) if tp > 1 else 0
    per_logit = (max(n + width - 2, gathered) for n in _bytes_per_logit(request, rules))
    buffer = _masking_rows(request, seqs, rules)
    low, value, high = (round(rows * (seqs * n + 4 * kept)) for n, kept in zip(per_logit, buffer, strict=True))
    return low, value, high


def _entry(request: Request, rules: Rules) -> dict[str, Any]:
    second = second_runner(request, rules)
    return rules.entry("second_sampler_bytes_per_logit" if second else "sampler_bytes_per_logit")


def _bytes_per_logit(request: Request, rules: Rules) -> tuple[float, float, float]:
    """Per (sequence × vocabulary row), the logits themselves in two bytes."""
    entry = _entry(request, rules)
    runs = _flashinfer_runs(request, entry)
    if second_runner(request, rules):
        native, fused = entry["native"], entry["flashinfer"]
        return (native, native, native) if runs is False else (fused if runs else native, fused, fused)
    if request.options.speculation is not None:
        entry = rules.entry("rejection_bytes_per_logit")
        return entry["low"], entry["value"], entry["high"]
    if runs and "flashinfer" in entry:
        return entry["flashinfer"], entry["flashinfer"], entry["flashinfer"]
    return entry["native_low"] if runs is False else entry["low"], entry["value"], entry["high"]


def _masking_rows(request: Request, seqs: int, rules: Rules) -> tuple[int, int, int]:
    """Rows of the vocabulary vLLM's own sampler keeps to mask in: low, nominal, high; none where FlashInfer's runs."""
    entry, buffer = _entry(request, rules), rules.entry("masking_buffer")
    when, runs = entry.get("masking_buffer"), _flashinfer_runs(request, entry)
    if when is None or runs or seqs < buffer["smallest_batch"]:
        return (0, 0, 0)
    name, known = request.gpu.id, buffer["multiprocessors"]
    listed = max((key for key in known if name == key or name.startswith(f"{key}-")), key=len, default=None)
    counts = [known[listed]] * 3 if listed else [buffer["unlisted"][key] for key in ("low", "value", "high")]
    low, value, high = (min(1 << (min(count, seqs) - 1).bit_length(), count) for count in counts)
    if runs is False or when == "unless_asked":
        return (low, value, high)
    # of the second runner, vLLM's own with its rows takes less than FlashInfer's
    return (0, 0, 0 if "native" in entry else high)


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
