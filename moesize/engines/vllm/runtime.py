"""Settings vLLM chooses by GPU and version, and the memory its process takes beside weights and activations."""

from collections.abc import Mapping
from typing import Any

from moesize.engines.base import EngineOptions, Request, Term
from moesize.engines.vllm.activations import Step
from moesize.engines.vllm.calibrated import UNMEASURED, Beyond, graphs
from moesize.engines.vllm.constants import Rules
from moesize.errors import InputError
from moesize.hardware.gpu import GpuSpec
from moesize.units import GIB, ceil_div, gib

#: Major compute capability of B200 and its like.
_DATA_CENTRE_BLACKWELL = 10


def server_step(request: Request, rules: Rules) -> Step:
    """max_num_batched_tokens and max_num_seqs: given, or the server's defaults for this card and version.

    Raises:
        InputError: a given value below 1.
    """
    options, context = request.options, request.workload.context_tokens
    for name in ("max_num_batched_tokens", "max_num_seqs", "max_cudagraph_capture_size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; it must be at least 1")
    entry = rules.server_defaults
    chosen = next(c for c in entry["classes"] if _applies(c, request))
    seqs = options.max_num_seqs or chosen["seqs"]
    tokens = options.max_num_batched_tokens
    if tokens is None:
        whole = entry.get("whole_prompts") and context <= 32768
        tokens = max(chosen["batched_tokens"], context) if whole else min(chosen["batched_tokens"], seqs * context)
    return Step(tokens, min(seqs, tokens), context)


def _applies(entry: Mapping[str, Any], request: Request) -> bool:
    gpu = request.gpu
    named = any(name in gpu.name.lower() for name in entry["not_named"])
    return gib(gpu.memory_bytes) >= entry["at_least_gib"] and not named


def runtime_terms(request: Request, rules: Rules, step: Step, rest: Beyond) -> list[Term]:
    """Memory outside torch, and CUDA graphs where the version counts them before sizing the pool."""
    figure = rest.non_torch
    formula = (
        f"libraries, communication and kernels' scratch: {_range(figure.n_bytes, figure.low_bytes, figure.high_bytes)}"
    )
    terms = [
        Term(
            "outside torch", "runtime", figure.n_bytes, figure.low_bytes, figure.high_bytes, "calibrated",
            f"{formula} ({rest.fit})", rest.source,
        )
    ]  # fmt: skip
    if rules.graphs_in_budget and not request.options.enforce_eager:
        terms.append(_graphs(request, rules, step, in_budget=True))
    return terms


def outside_terms(request: Request, rules: Rules, step: Step) -> list[Term]:
    """What lies in the part of the card vLLM does not budget."""
    entry = rules.entry("cuda_context_gib")
    value, low, high = (round(entry[key] * GIB) for key in ("value", "low", "high"))
    formula = f"context and modules of one process: {_range(value, low, high)} ({entry['fit']})"
    terms = [Term("CUDA context", "runtime", value, low, high, "calibrated", formula, entry["source"], in_budget=False)]
    if not rules.graphs_in_budget and not request.options.enforce_eager:
        terms.append(_graphs(request, rules, step, in_budget=False))
    return terms


def captured_sizes(seqs: int, largest: int, proposed: int = 0) -> int:
    """How many batch sizes graphs are captured for: 1, 2, 4, multiples of 8 below 256 and of 16 from there.

    A sequence is one token of a batch, and one more for every token that is `proposed`.
    """
    top = min(2 * seqs * (1 + proposed), largest)
    return sum(1 for n in (1, 2, 4) if n <= top) + min(top, 255) // 8 + max(0, (top - 256) // 16 + 1)


def capture_count(options: EngineOptions, gpu: GpuSpec, rules: Rules, seqs: int) -> int:
    """How many batch sizes a server captures graphs for."""
    entry, capability = rules.entry("capture"), gpu.compute_capability
    blackwell = capability is not None and capability[0] == _DATA_CENTRE_BLACKWELL
    largest = entry.get("largest_blackwell", entry["largest"]) if blackwell else entry["largest"]
    if options.max_cudagraph_capture_size is not None:
        largest = options.max_cudagraph_capture_size
    return captured_sizes(seqs, largest, options.speculation.tokens if options.speculation else 0)


def _graphs(request: Request, rules: Rules, step: Step, *, in_budget: bool) -> Term:
    capture = rules.entry("capture")
    sizes = capture_count(request.options, request.gpu, rules, step.seqs)
    stages = request.layout.pp
    layers = ceil_div(request.spec.num_layers, stages) * (stages if capture["per_stage"] else 1)
    figure, entry = graphs(request.gpu, request.spec, layers, sizes)
    if capture["per_stage"] and stages > 1:
        figure = figure.wider(UNMEASURED)  # nobody printed what V0's virtual engines captured
    formula = (
        f"{sizes} captured batch sizes, {layers} layers: {_range(figure.n_bytes, figure.low_bytes, figure.high_bytes)}"
        f" ({entry['rows']} rows of {entry['models']} {entry['model']} models, {entry['gpu']} cards)"
    )
    n_bytes, low, high = figure.n_bytes, figure.low_bytes, figure.high_bytes
    return Term("CUDA graphs", "runtime", n_bytes, low, high, "calibrated", formula, entry["source"], in_budget)


def _range(value: int, low: int, high: int) -> str:
    return f"{gib(value):.2f} GiB, seen {gib(low):.2f}…{gib(high):.2f}"
