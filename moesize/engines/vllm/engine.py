"""vLLM: a fraction of the card is budgeted; what weights, activations and runtime leave of it becomes the KV pool.

Source: vllm `v1/worker/gpu_worker.py` (determine_available_memory) and `v1/core/kv_cache_utils.py`.
"""

from dataclasses import replace
from math import ceil
from typing import NamedTuple

from moesize.engines.base import EngineOptions, EnginePlan, Request, Term
from moesize.engines.rules import refuse
from moesize.engines.vllm.activations import Step, activation_terms
from moesize.engines.vllm.calibrated import Beyond, beyond
from moesize.engines.vllm.capacity import capacity_of
from moesize.engines.vllm.constants import Rules, rules_for
from moesize.engines.vllm.encoder import encoder_of, known_encoder
from moesize.engines.vllm.log import log_lines
from moesize.engines.vllm.packed import is_packed, packed_pool
from moesize.engines.vllm.pages import Page, draft_pages, pages_of
from moesize.engines.vllm.pool import PoolPlan, plan_pool
from moesize.engines.vllm.runtime import outside_terms, runtime_terms, server_step
from moesize.engines.vllm.speculation import (
    Drafter,
    auxiliary_rows_bytes,
    draft_weight_term,
    drafter_of,
    proposal_terms,
)
from moesize.engines.vllm.weights import published_weight_terms, weight_terms
from moesize.errors import InputError
from moesize.memory.layout import LayoutError, Stage, stages
from moesize.memory.sharding import ShardingRules, rank_tensors
from moesize.model.spec import CacheKind, ModelSpec, Role
from moesize.units import gib


class _Rank(NamedTuple):
    """One pipeline stage's fullest rank: what it spends inside the budget, and its pool."""

    terms: tuple[Term, ...]
    pool: PoolPlan | None
    available_bytes: int

    @property
    def spent_bytes(self) -> int:
        """Of the budget, without the pool."""
        return sum(term.n_bytes for term in self.terms if term.in_budget)


_REFUSED = {
    "n_gpu_layers": "every layer is on a GPU; --cpu-offload moves weights to the host",
    "n_cpu_moe": "experts stay on the GPUs; --cpu-offload moves weights to the host",
    "flash_attention": "its attention kernels never keep a score matrix",
}


class Vllm:
    """The vLLM engine."""

    name = "vllm"

    def plan(self, request: Request) -> EnginePlan:
        """What `vllm serve` would do with this model on these GPUs.

        Raises:
            LayoutError: a layout it refuses.
            InputError: a version or option it does not have.
        """
        rules = rules_for(request.version)
        refuse(request.options, "vLLM", _REFUSED)
        request = _as_served(request)
        options, gpu = request.options, request.gpu
        utilization = options.gpu_memory_utilization
        if utilization is None:
            utilization = rules.gpu_memory_utilization
        if not 0 < utilization <= 1:
            raise InputError(
                f"gpu_memory_utilization is {utilization}; it is a fraction of the card, above 0 and at most 1"
            )
        _check_layout(request, rules)
        budget = ceil(gpu.memory_bytes * utilization)
        step = server_step(request, rules)
        sees = any(t.role is Role.VISION and t.loaded for t in request.spec.tensors)
        rest = beyond(rules.key, gpu, request.layout, vision=sees and not known_encoder(request.spec, rules))
        drafter = drafter_of(request, rules)
        held = [
            _rank(request, rules, step, stage, budget, rest, drafter if stage.last else None)
            for stage in stages(request.spec.num_layers, request.layout.pp)
        ]
        tightest = min(held, key=lambda rank: rank.available_bytes)
        if options.kv_cache_memory_bytes is not None:
            budget = min(gpu.memory_bytes, tightest.spent_bytes + options.kv_cache_memory_bytes)
        pools = [(rank.pool, rank.available_bytes) for rank in held if rank.pool]
        draft = drafter.request.spec if drafter else None
        capacity = capacity_of(request, rules, step, pools, tightest.pool, draft) if pools and tightest.pool else None
        return EnginePlan(
            version=rules.version,
            device_bytes=gpu.memory_bytes,
            budget_bytes=budget,
            terms=tightest.terms,
            pool=capacity.pool if capacity else None,
            gpu_memory_utilization=utilization,
            max_num_batched_tokens=step.batched_tokens,
            max_num_seqs=step.seqs,
            log_lines=log_lines(request, rules, tightest.terms, tightest.available_bytes, capacity),
            notes=_notes(request, rest, tightest),
        )


def _as_served(request: Request) -> Request:
    """The request with the model as it is served.

    In the dtype of what the quantisation leaves alone; with `language_model_only` without its towers.
    """
    spec, dtype = request.spec, request.scheme.dtype
    if request.options.language_model_only:
        spec = replace(spec, tensors=tuple(t for t in spec.tensors if t.role not in (Role.VISION, Role.AUDIO)))
    if spec.dtype != dtype:
        spec = replace(spec, dtype=dtype)
    return request if spec is request.spec else request._replace(spec=spec)


def _check_layout(request: Request, rules: Rules) -> None:
    """What vLLM checks of heads before it builds anything (vllm `config/model.py` verify_with_parallel_config).

    Raises:
        LayoutError: in its words.
    """
    tp = request.layout.tp
    heads = max((a.num_heads for a in request.spec.attentions if a.causal), default=0)
    if heads % tp:
        raise LayoutError(
            f"Total number of attention heads ({heads}) must be divisible by tensor parallel size ({tp})."
        )
    if request.layout.dcp > 1:
        _check_context_parallel(request.spec, rules, tp, request.layout.dcp)


def _check_context_parallel(spec: ModelSpec, rules: Rules, tp: int, dcp: int) -> None:
    """What vLLM asks of decode context parallelism.

    Source: vllm `config/parallel.py`, `config/model.py`, `v1/core/single_type_kv_cache_manager.py`.

    Raises:
        LayoutError: in its words.
    """
    if not rules.context_parallel:
        raise LayoutError(f"vLLM {rules.version} has no decode context parallelism; leave --dcp out")
    if tp % dcp:
        raise LayoutError(f"tp_size={tp} must be divisible by dcp_size={dcp}.")
    kinds = {cache.kind for cache in spec.caches}
    if CacheKind.SLIDING in kinds:
        raise LayoutError("DCP not support sliding window attn now.")
    if CacheKind.CHUNKED in kinds:
        raise LayoutError("DCP not support chunked local attn now.")
    if CacheKind.STATE in kinds:
        raise LayoutError("DCP not support mamba now.")
    heads = max((c.num_kv_heads for c in spec.caches if c.kind is CacheKind.FULL), default=0)
    if not heads:
        return
    if tp <= heads:
        raise LayoutError(
            f"Decode context parallelism for GQA/MQA requires `--tensor-parallel-size` ({tp}) to be greater than the"
            f" model's total number of KV heads ({heads}). Increase `--tensor-parallel-size` or set"
            " `--decode-context-parallel-size 1`."
        )
    if dcp > tp // heads:
        raise LayoutError(
            f"`--decode-context-parallel-size` ({dcp}) exceeds the maximum supported value ({tp // heads}) for"
            f" `--tensor-parallel-size` ({tp}) and {heads} model KV heads."
        )
    queries = max((a.num_heads for a in spec.attentions if a.causal), default=heads) // heads
    if queries % dcp:
        raise LayoutError(
            f"The model's number of query heads per KV head ({queries}) must be divisible by"
            f" `--decode-context-parallel-size` ({dcp}) for GQA/MQA."
        )


def sharding_rules(spec: ModelSpec, rules: Rules, options: EngineOptions | None = None) -> ShardingRules:
    """How vLLM divides this model."""
    options = options or EngineOptions()
    return ShardingRules(
        vocab_multiple=64,
        experts_over_dp=True,
        redundant_experts=options.redundant_experts,
        ends_on_every_stage=spec.architecture in rules.entry("ends_on_every_stage")["families"],
        towers_whole=options.mm_encoder_data_parallel,
    )


def _rank(
    request: Request,
    rules: Rules,
    step: Step,
    stage: Stage,
    budget: int,
    rest: Beyond,
    drafter: Drafter | None,
) -> _Rank:
    spec, layout, options = request.spec, request.layout, request.options
    sharding = sharding_rules(spec, rules, options)
    tensors = rank_tensors(spec, layout, stage, sharding)
    if spec.counts:
        weights = published_weight_terms(spec, request.scheme, layout.gpus)
    else:
        weights = weight_terms(request, tensors, stage, rules, step.batched_tokens)
    terms = (
        *weights,
        *([draft_weight_term(drafter, sharding, rules, step.batched_tokens)] if drafter else ()),
        *activation_terms(
            request,
            tensors,
            stage,
            step,
            rules,
            rest,
            encoder=encoder_of(request, tensors, step, rules),
            auxiliary_bytes=auxiliary_rows_bytes(request, step),
        ),
        *(proposal_terms(request, drafter, rules, step) if stage.last else ()),
        *runtime_terms(request, rules, step, rest),
        *outside_terms(request, rules, step),
    )
    rank = _Rank(terms, _pool(request, rules, stage, drafter), 0)
    wanted = options.kv_cache_memory_bytes
    available = max(0, budget - rank.spent_bytes) if wanted is None else wanted
    return rank._replace(available_bytes=available)


def _pool(request: Request, rules: Rules, stage: Stage, drafter: Drafter | None) -> PoolPlan | None:
    if is_packed(request.spec):
        draft = drafter.request.spec if drafter else None
        return packed_pool(request.spec, request.kv_format, stage.layers, rules, draft)
    return plan_pool(_pages(request, rules, stage, drafter), rules, request.layout.dcp)


def _pages(request: Request, rules: Rules, stage: Stage, drafter: Drafter | None) -> tuple[Page, ...]:
    """The pages of a stage's layers, and of the drafting model's beside them."""
    kv, found = request.kv_format, request.options.speculation
    proposed = found.tokens if found else 0
    pages = pages_of(
        request.spec,
        kv,
        request.layout,
        stage.layers,
        rules,
        proposed=proposed,
        prefix_caching=request.options.prefix_caching,
    )
    if drafter is None:
        return pages
    return (*pages, *draft_pages(drafter.request.spec, kv, drafter.request.layout, pages, rules))


def _notes(request: Request, rest: Beyond, rank: _Rank) -> tuple[str, ...]:
    notes = [rest.unmeasured] if rest.unmeasured else []
    gpu, wanted = request.gpu, request.options.kv_cache_memory_bytes
    if wanted is not None and rank.spent_bytes + wanted > gpu.memory_bytes:
        spent = f"{gib(rank.spent_bytes):.2f} GiB of weights, activations and runtime"
        notes.append(
            f"kv_cache_memory_bytes of {gib(wanted):.2f} GiB and {spent} are more than the card's"
            f" {gib(gpu.memory_bytes):.2f} GiB: vLLM takes the value as given and runs out of memory"
        )
    if gpu.unified:
        notes.append(
            "vLLM takes its fraction of the whole unified memory, but the page cache and other processes count as used:"
            " free memory at start must reach that fraction"
        )
    spec = request.spec
    if (
        spec.dtype in ("bfloat16", "float16")
        and not request.scheme.from_checkpoint
        and request.scheme.method in ("fp8", "bitsandbytes")
    ):
        whole = sum(t.parameters for t in spec.tensors if t.loaded) * 2 // (request.layout.tp * request.layout.pp)
        notes.append(
            f"made while loading (--quantization {request.scheme.method}) vLLM may hold up to {gib(whole):.1f} GiB of"
            " 16-bit weights at once; a checkpoint already stored so avoids it"
        )
    return tuple(notes)
