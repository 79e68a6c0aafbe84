"""SGLang's own choice of mem_fraction_static, chunked_prefill_size and graph sizes for a card.

Source: https://github.com/sgl-project/sglang `python/sglang/srt/arg_groups/memory_hook.py` and `server_args.py`
(0.5.23).
"""

from typing import NamedTuple

from moesize.engines.base import Request
from moesize.engines.rules import Rules, fraction
from moesize.errors import InputError
from moesize.model.spec import CacheKind
from moesize.units import MIB

_LARGE_CARD_MIB = 60 * 1024
_LARGE_RESERVE_MIB = 10 * 1024
_MLA_PREFILL_GRAPHS_MIB = 1536


class Settings(NamedTuple):
    """What the server runs with; `reserved_mib` is None when the fraction was given."""

    fraction: float
    chunked_prefill: int
    max_running: int | None
    graph_batch: int
    smi_mib: int
    reserved_mib: int | None


def settings_of(request: Request, rules: Rules) -> Settings:
    """The settings: given, or SGLang's.

    Raises:
        InputError: a given value that cannot be.
    """
    options, gpu, layout = request.options, request.gpu, request.layout
    smi = (gpu.smi_memory_bytes or gpu.memory_bytes) // MIB
    group = layout.tp * layout.dp  # attention-DP ranks are ranks of the tensor-parallel group
    chosen = next(c for c in rules.entry("classes")["classes"] if smi < c["below_mib"])
    chunk = options.max_num_batched_tokens or chosen["chunked_prefill"]
    if options.max_num_batched_tokens is None and layout.dp > 1:
        chunk = max(1, chunk // layout.dp)
    if chunk < 1:
        raise InputError(f"chunked_prefill_size is {chunk}; it must be at least 1")
    graph = 0 if options.enforce_eager else chosen["graph_wide" if group >= 4 else "graph"]
    if options.gpu_memory_utilization is not None:
        given = fraction(options.gpu_memory_utilization, "mem_fraction_static")
        return Settings(given, chunk, options.max_num_seqs, graph, smi, None)
    reserved = _reserved_mib(request, rules, smi=smi, chunk=chunk, graph=graph)
    if reserved >= smi:
        raise InputError(
            f"SGLang would reserve {reserved:.0f} MiB of a card of {smi} MiB; set --gpu-memory-utilization"
        )
    return Settings(round((smi - reserved) / smi, 3), chunk, options.max_num_seqs, graph, smi, round(reserved))


def _reserved_mib(request: Request, rules: Rules, *, smi: int, chunk: int, graph: int) -> float:
    """512 + max(chunk, 2048) · 1.5 + tp · pp / 8 · 1024 + graphs, and at least 10 GiB on cards above 60."""
    layout = request.layout
    group = layout.tp * layout.dp
    reserved = 512 + max(chunk, 2048) * 1.5 + group * layout.pp / 8 * 1024 + graph * 2.0
    if layout.dp > 1:
        reserved += graph * layout.dp * 3 * (1.5 if graph > 300 else 1.0)
    if rules.value("prefill_graphs") and not request.options.enforce_eager:
        latent = any(cache.kind is CacheKind.LATENT for cache in request.spec.caches)
        reserved += _MLA_PREFILL_GRAPHS_MIB if latent else 8 * prefill_graph_sizes(chunk)
    return max(reserved, _LARGE_RESERVE_MIB) if smi > _LARGE_CARD_MIB else reserved


def prefill_graph_sizes(longest: int) -> int:
    """How many prefill lengths up to `longest` graphs are captured for: steps of 4 to 32, 16 to 256, 32 to 512, …."""
    runs = ((4, 32, 4), (48, 256, 16), (288, 512, 32), (576, 1024, 64), (1280, 4096, 256), (4608, longest, 512))
    return sum(len(range(first, min(last, longest) + 1, step)) for first, last, step in runs)
