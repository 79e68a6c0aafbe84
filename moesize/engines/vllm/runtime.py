"""Settings vLLM chooses by GPU and version, and the memory its process takes beside weights and activations."""

from collections.abc import Mapping
from typing import Any

from moesize.engines.base import Request, Term
from moesize.engines.vllm.activations import Step
from moesize.engines.vllm.constants import Rules
from moesize.errors import InputError
from moesize.units import GIB, gib


def server_step(request: Request, rules: Rules) -> Step:
    """max_num_batched_tokens and max_num_seqs: given, or the server's defaults for this card and version.

    Raises:
        InputError: a given value below 1.
    """
    options, context = request.options, request.workload.context_tokens
    for name in ("max_num_batched_tokens", "max_num_seqs"):
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


def runtime_terms(request: Request, rules: Rules) -> list[Term]:
    """Memory outside torch, and CUDA graphs where the version counts them before sizing the pool."""
    entry = rules.entry("non_torch_gib")
    layout = request.layout
    kind = "tensor_parallel" if layout.tp > 1 else "pipeline_parallel" if layout.pp > 1 else "alone"
    terms = [_calibrated("outside torch", entry[kind], entry, f"libraries and communication, {kind.replace('_', ' ')}")]
    if rules.graphs_in_budget and not request.options.enforce_eager:
        terms.append(_graphs(request, rules, in_budget=True))
    return terms


def outside_terms(request: Request, rules: Rules) -> list[Term]:
    """What lies in the part of the card vLLM does not budget."""
    entry = rules.entry("cuda_context_gib")
    terms = [_calibrated("CUDA context", entry, entry, "context and modules of one process", in_budget=False)]
    if not rules.graphs_in_budget and not request.options.enforce_eager:
        terms.append(_graphs(request, rules, in_budget=False))
    return terms


def _graphs(request: Request, rules: Rules, *, in_budget: bool) -> Term:
    entry = rules.entry("cuda_graphs_gib")
    kind = "moe" if request.spec.experts.routed else "dense"
    return _calibrated("CUDA graphs", entry[kind], entry, f"captured batches of a {kind} model", in_budget=in_budget)


def _calibrated(
    name: str, figure: Mapping[str, Any], entry: Mapping[str, Any], formula: str, *, in_budget: bool = True
) -> Term:
    value, low, high = (round(figure[key] * GIB) for key in ("value", "low", "high"))
    text = f"{formula}: {figure['value']} GiB, seen {figure['low']}…{figure['high']} ({entry['fit']})"
    return Term(name, "runtime", value, low, high, "calibrated", text, entry["source"], in_budget)
