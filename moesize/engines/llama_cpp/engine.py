"""llama.cpp and Ollama: no fraction, no pages; weights, the whole cache and the compute buffer must fit on each device.

Sources: https://github.com/ggml-org/llama.cpp (`src/llama-model.cpp`, `src/llama-context.cpp`), its server, and for
Ollama https://github.com/ollama/ollama `ml/device.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from moesize.engines.base import EnginePlan, Hybrid, KvPool, Request, Term, exact
from moesize.engines.llama_cpp import cells as kv_cells
from moesize.engines.llama_cpp.buffers import Graph, compute_bytes, dequantised_bytes
from moesize.engines.llama_cpp.cells import Cells, layer_bytes, padded_context
from moesize.engines.llama_cpp.placement import (
    Device,
    Placement,
    crossing_bytes_per_token,
    device_weights,
    held_by,
    held_by_host,
    place,
)
from moesize.engines.paged import largest
from moesize.engines.rules import VLLM_ONLY, Rules, refuse, rules_for
from moesize.errors import InputError
from moesize.memory.layout import Layout, LayoutError
from moesize.memory.offload import LayerWeights, layer_weights
from moesize.memory.weights import published_share_bytes
from moesize.model.spec import ModelSpec
from moesize.quant.kv import check_kv
from moesize.quant.scheme import QuantScheme
from moesize.units import MIB

_SOURCE = "https://github.com/ggml-org/llama.cpp/blob/master/src/llama-model.cpp"
_REFUSED: Mapping[str, str] = {
    "gpu_memory_utilization": "it takes what it needs; leave room with --n-gpu-layers or --n-cpu-moe",
    "cpu_offload_bytes": "it keeps whole layers or experts on the host: --n-gpu-layers, --n-cpu-moe",
    "kv_cache_memory_bytes": "its cache is as large as the context; set --context",
    **VLLM_ONLY,
    "redundant_experts": "it has no expert parallelism",
}


@dataclass(frozen=True, slots=True)
class _Load:
    """One device: its share of everything, in bytes."""

    device: Device
    expert_weights: int
    other_weights: int
    cache: int
    compute: int

    @property
    def weights(self) -> int:
        return self.expert_weights + self.other_weights

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.compute


class LlamaCpp:
    """`llama-server` on GGUF weights."""

    name = "llama.cpp"
    constants = Path(__file__).with_name("constants.yaml")

    def plan(self, request: Request) -> EnginePlan:
        """What llama-server would do with this model on these GPUs.

        Raises:
            LayoutError: tensor, data or expert parallelism, or more GPUs than layers.
            InputError: a version, an option or a weight format it does not have.
        """
        rules = rules_for(self.name, self.constants, request.version)
        refuse(request.options, self.name, _REFUSED)
        _check_layout(request.layout, request.spec, self.name)
        if request.spec.counts:
            return _published(request, rules)
        request = request._replace(scheme=gguf_scheme(request.spec, request.scheme, self.name))
        flash = self._flash_attention(request, rules)
        check_kv(request.kv_format, flash_attention=flash)
        server = self._cells(request, rules, flash_attention=flash)
        options = request.options
        placement = place(request.spec.num_layers, request.layout.gpus, options.n_gpu_layers, options.n_cpu_moe)
        weights = layer_weights(request.spec, request.scheme)
        loads = device_loads(request, server, placement, weights, flash_attention=flash)
        fullest = max(loads, key=lambda load: load.total)
        hybrid = _hybrid(
            request, rules, placement, weights, loads, layer_bytes(request.spec, request.kv_format, server)
        )
        host = hybrid.host.dense_bytes + hybrid.host.expert_bytes + weights.input_bytes
        terms = (*_weight_terms(request, fullest), *self._other_terms(rules, fullest, request))
        pool = _pool(request, server, fullest, terms)
        return EnginePlan(
            version=rules.version,
            device_bytes=request.gpu.memory_bytes,
            budget_bytes=request.gpu.memory_bytes,
            terms=terms,
            pool=pool,
            max_num_batched_tokens=server.ubatch_tokens,
            max_num_seqs=server.slots,
            log_lines=_log_lines(loads, host),
            notes=(rules.uncalibrated,) if rules.uncalibrated else (),
            host_bytes=host,
            host_read_bytes_per_token=hybrid.host.dense_bytes + round(hybrid.host.expert_bytes * weights.active_share),
            hybrid=hybrid if any(hybrid.host) else None,
        )

    def _flash_attention(self, request: Request, rules: Rules) -> bool:
        asked = request.options.flash_attention
        return bool(rules.value("flash_attention")) if asked is None else asked

    def _cells(self, request: Request, rules: Rules, *, flash_attention: bool) -> Cells:
        options, work = request.options, request.workload
        slots = options.max_num_seqs or max(work.concurrency, rules.value("slots"))
        ubatch = options.max_num_batched_tokens or rules.value("ubatch_tokens")
        if slots < work.concurrency:
            raise InputError(f"{slots} slots cannot serve {work.concurrency} sequences at once; raise --max-num-seqs")
        if min(slots, ubatch) < 1:
            raise InputError("slots and the physical batch are at least 1")
        tokens = padded_context(work.context_tokens * work.concurrency, rules, flash_attention=flash_attention)
        streams = slots if options.max_num_seqs and rules.value("slots_apart") else 1
        return Cells(tokens, slots, min(ubatch, tokens), rules, streams)

    def _other_terms(self, rules: Rules, load: _Load, request: Request) -> list[Term]:
        recurrent = any(c.states for c in request.spec.caches)
        ratio = rules.entry("compute_ratio_recurrent" if recurrent else "compute_ratio")
        low, high = (round(load.compute * ratio[key]) for key in ("low", "high"))
        formula = f"worst step's activations; observed ÷ derived {ratio['low']:g}…{ratio['high']:g} ({ratio['fit']})"
        value = round(load.compute * ratio["value"])
        compute = Term("compute buffer", "activation", value, low, high, "calibrated", formula, ratio["source"])
        terms = [compute, rules.term("CUDA context", "runtime", "context")]
        if rules.value("dequantises") and request.scheme.format and request.scheme.format.bits < 16:
            scratch, source = dequantised_bytes(request.spec), rules.entry("dequantises")["source"]
            what = "one matrix in float16 for cuBLAS, when a batch is large"
            terms.append(Term("cuBLAS scratch", "runtime", scratch, 0, scratch, "engine rule", what, source))
        return terms


class Ollama(LlamaCpp):
    """Ollama: llama.cpp's layout with Ollama's own defaults, which sizes each model for its parallel requests."""

    name = "ollama"
    constants = Path(__file__).with_name("ollama.yaml")


def gguf_scheme(spec: ModelSpec, scheme: QuantScheme, engine: str) -> QuantScheme:
    """The scheme as a GGUF file holds it: unquantised weights are written as f16, bf16 or f32.

    Raises:
        InputError: weights in a format GGUF has not.
    """
    if scheme.method == "gguf":
        return scheme
    if scheme.method != "none":
        like = "mxfp4_moe" if scheme.method == "mxfp4" else "q4_k_m"
        raise InputError(f"{engine} loads GGUF files, not {scheme.name}; name a GGUF type, such as --quant {like}")
    from moesize.quant import gguf_mixes  # noqa: PLC0415  only what is not a GGUF yet needs it

    short = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}.get(scheme.dtype, "bf16")
    mix = gguf_mixes.find_mix(short, short)
    return gguf_mixes.mix_scheme(mix, spec) if mix else scheme


def device_loads(
    request: Request, server: Cells, placement: Placement, weights: LayerWeights, *, flash_attention: bool
) -> list[_Load]:
    """What every GPU holds."""
    cache = layer_bytes(request.spec, request.kv_format, server)
    several = sum(bool(d.layers) or d.output for d in placement.devices) > 1
    pipeline = several and not placement.host_layers and not placement.host_expert_layers
    loads = []
    for index, device in enumerate(placement.devices):
        experts, other = device_weights(device, placement, weights)
        # Experts in host memory are brought to the first GPU for large batches.
        moved = placement.host_expert_layers | set(placement.host_layers) if index == 0 else ()
        copied = max((weights.largest_expert_tensors.get(i, 0) for i in moved), default=0)
        graph = Graph(device.output, bool(device.layers), pipeline, copied)
        if server.rules.value("buffers_on") == "main":
            graph = Graph(index == 0, index == 0, pipeline=False, copied_expert_bytes=copied)
        compute = compute_bytes(request.spec, server, graph, flash_attention=flash_attention)
        loads.append(_Load(device, experts, other, sum(cache.get(i, 0) for i in device.layers), compute))
    return loads


def _check_layout(layout: Layout, spec: ModelSpec, engine: str) -> None:
    if layout.tp > 1:
        raise LayoutError(
            f"{engine} gives each GPU whole layers; write --gpus {layout.tp} or --pp {layout.tp}, not --tp"
        )
    if layout.dp > 1 or layout.ep:
        raise LayoutError(f"{engine} has no data or expert parallelism; start several servers")
    if layout.pp > spec.num_layers + 1 and not spec.counts:
        raise LayoutError(f"{layout.pp} GPUs for {spec.num_layers} layers leave some empty; use fewer")


def _weight_terms(request: Request, load: _Load) -> list[Term]:
    source, scheme = request.spec.source, request.scheme
    of = f"layers {load.device.layers[0]}–{load.device.layers[-1]}" if load.device.layers else "no layers"
    rest = (
        f"{scheme.name}, {of}{' and the output' if load.device.output else ''}; the input embedding stays on the host"
    )
    terms = [exact("layers and output", "weights", load.other_weights, "counted", rest, source)]
    if load.expert_weights:
        formula = f"{scheme.name}, experts of the layers that keep them on the GPU"
        terms.append(exact("routed_expert", "weights", load.expert_weights, "counted", formula, source))
    return terms


def _pool(request: Request, server: Cells, load: _Load, terms: tuple[Term, ...]) -> KvPool:
    spec, kv, work = request.spec, request.kv_format, request.workload
    room = max(0, request.gpu.memory_bytes - sum(term.n_bytes for term in terms))

    def needed(context: int) -> int:
        cache = layer_bytes(spec, kv, replace(server, context_tokens=context))
        return sum(cache.get(i, 0) for i in load.device.layers)

    longest = largest(needed, room, 2**40)
    limit = spec.context_length or 2**31
    each = kv_cells.token_bytes
    growing = [c for c in spec.caches if c.window_tokens is None and not c.states]
    return KvPool(
        n_bytes=room,
        tokens=longest,
        max_context_tokens=min(longest, limit),
        max_concurrency=longest / work.context_tokens,
        needed_bytes=load.cache,
        bytes_per_token=round(sum(each(c, spec, kv, server.rules) * len(c.layers) for c in growing)),
        bytes_per_token_in_window=round(
            sum(each(c, spec, kv, server.rules) * len(c.layers) for c in spec.caches if not c.states)
        ),
        state_bytes_per_sequence=sum(
            layer_bytes(
                replace(spec, caches=tuple(c for c in spec.caches if c.states)), kv, replace(server, slots=1)
            ).values()
        ),
    )


def _hybrid(
    request: Request,
    rules: Rules,
    placement: Placement,
    weights: LayerWeights,
    loads: list[_Load],
    cache: Mapping[int, int],
) -> Hybrid:
    """Weights and caches by who computes with them; a layer's cache lies beside its attention."""
    total = sum(cache.values())
    shares = [load.cache / total if total else 0.0 for load in loads]
    hidden, per_token = request.spec.hidden_size or 0, request.spec.experts.per_token
    return Hybrid(
        gpus=tuple(held_by(load.device, placement, weights, share) for load, share in zip(loads, shares, strict=True)),
        host=held_by_host(placement, weights, max(0.0, 1 - sum(shares)) if placement.host_layers else 0.0),
        crossing_bytes_per_token=crossing_bytes_per_token(placement, weights, hidden, per_token),
        gpu_batch_tokens=rules.value("gpu_batch_tokens"),
    )


def _log_lines(loads: list[_Load], host: int) -> tuple[str, ...]:
    lines = [f"load_tensors:   CPU_Mapped model buffer size = {host / MIB:.2f} MiB"]
    for i, load in enumerate(loads):
        lines.append(f"load_tensors:        CUDA{i} model buffer size = {load.weights / MIB:.2f} MiB")
    for i, load in enumerate(loads):
        lines.append(f"llama_kv_cache:      CUDA{i} KV buffer size = {load.cache / MIB:.2f} MiB")
    for i, load in enumerate(loads):
        lines.append(f"llama_context:      CUDA{i} compute buffer size = {load.compute / MIB:.2f} MiB")
    return tuple(lines)


def _published(request: Request, rules: Rules) -> EnginePlan:
    """A model of which only totals are published: an even share of its weights, and nothing else."""
    share = published_share_bytes(request.spec, request.scheme, request.layout.gpus)
    formula = f"published total × bits of {request.scheme.name} ÷ {request.layout.gpus} GPUs"
    total = request.gpu.memory_bytes
    terms = (
        exact("weights", "weights", share, "counted", formula, request.spec.source),
        rules.term("CUDA context", "runtime", "context"),
    )
    return EnginePlan(rules.version, total, total, terms, None)
