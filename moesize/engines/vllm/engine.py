"""vLLM: a fraction of the card is budgeted; what weights, activations and runtime leave of it becomes the KV pool.

Source: vllm `v1/worker/gpu_worker.py` (determine_available_memory) and `v1/core/kv_cache_utils.py`.
"""

from dataclasses import dataclass
from math import ceil

from moesize.engines.base import EnginePlan, KvPool, Request, Term
from moesize.engines.vllm.activations import Step, activation_terms
from moesize.engines.vllm.constants import Rules, rules_for
from moesize.engines.vllm.pages import pages_of
from moesize.engines.vllm.pool import PoolPlan, plan_pool
from moesize.engines.vllm.runtime import outside_terms, runtime_terms, server_step
from moesize.engines.vllm.weights import published_weight_terms, weight_terms
from moesize.errors import InputError
from moesize.memory.kv_cache import bytes_per_token, state_bytes_per_sequence
from moesize.memory.layout import Stage, stages
from moesize.memory.sharding import ShardingRules, rank_tensors
from moesize.model.spec import ModelSpec
from moesize.units import gib


@dataclass(frozen=True, slots=True)
class _Rank:
    """One pipeline stage's fullest rank: what it spends inside the budget, and its pool."""

    terms: tuple[Term, ...]
    pool: PoolPlan | None
    available_bytes: int


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
        options, spec, gpu = request.options, request.spec, request.gpu
        utilization = options.gpu_memory_utilization or rules.gpu_memory_utilization
        if not 0 < utilization <= 1:
            raise InputError(f"gpu_memory_utilization is {utilization}; it is a fraction of the card, above 0 and at most 1")
        budget = ceil(gpu.memory_bytes * utilization)
        step = server_step(request, rules)
        held = [
            _rank(request, rules, step, stage, budget) for stage in stages(spec.num_layers, request.layout.pp)
        ]
        tightest = min(held, key=lambda rank: rank.available_bytes)
        pool = _pool(request, rules, step, held, tightest)
        return EnginePlan(
            version=rules.version,
            device_bytes=gpu.memory_bytes,
            budget_bytes=budget,
            terms=tightest.terms,
            pool=pool,
            gpu_memory_utilization=utilization,
            max_num_batched_tokens=step.batched_tokens,
            max_num_seqs=step.seqs,
            log_lines=_log_lines(request, tightest, pool),
        )


def sharding_rules(spec: ModelSpec, rules: Rules) -> ShardingRules:
    """How vLLM divides this model."""
    everywhere = spec.architecture in rules.entry("ends_on_every_stage")["families"]
    return ShardingRules(vocab_multiple=64, experts_over_dp=True, ends_on_every_stage=everywhere)


def _rank(request: Request, rules: Rules, step: Step, stage: Stage, budget: int) -> _Rank:
    spec, layout = request.spec, request.layout
    tensors = rank_tensors(spec, layout, stage, sharding_rules(spec, rules))
    if spec.counts:
        weights = published_weight_terms(spec, request.scheme, layout.gpus)
    else:
        weights = weight_terms(request, tensors, stage, rules, step.batched_tokens)
    terms = [
        *weights,
        *activation_terms(spec, tensors, layout, stage, step, rules, fused_mxfp4=request.scheme.method == "mxfp4"),
        *runtime_terms(request, rules),
        *outside_terms(request, rules),
    ]
    spent = sum(term.n_bytes for term in terms if term.in_budget)
    available = request.options.kv_cache_memory_bytes or max(0, budget - spent)
    pool = plan_pool(pages_of(spec, request.kv_format, layout, stage.layers, rules), rules)
    return _Rank(tuple(terms), pool, available)


def _pool(request: Request, rules: Rules, step: Step, held: list[_Rank], tightest: _Rank) -> KvPool | None:
    """The pool of the tightest rank; all stages take the smallest number of blocks any of them holds."""
    pools = [(rank.pool, rank.available_bytes) for rank in held if rank.pool]
    if not pools or tightest.pool is None:
        return None
    spec, kv, context = request.spec, request.kv_format, request.workload.context_tokens
    blocks = min(pool.blocks(available) for pool, available in pools)
    in_flight = rules.batches_in_flight * step.batched_tokens
    needed = max(pool.blocks_per_sequence(context, in_flight) for pool, _ in pools)
    concurrency = blocks / needed if needed else 0.0
    return KvPool(
        n_bytes=blocks * tightest.pool.block_bytes,
        tokens=int(concurrency * context),
        max_context_tokens=_longest(tightest.pool, blocks - 1, in_flight, spec.context_length or 2**31),
        max_concurrency=concurrency,
        needed_bytes=needed * request.workload.concurrency * tightest.pool.block_bytes,
        bytes_per_token=bytes_per_token(spec, kv),
        bytes_per_token_in_window=bytes_per_token(spec, kv, in_window=True),
        state_bytes_per_sequence=state_bytes_per_sequence(spec),
    )


def _longest(pool: PoolPlan, blocks: int, in_flight: int, limit: int) -> int:
    """The longest sequence `blocks` blocks hold, by bisection as vLLM estimates it."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if pool.blocks_per_sequence(middle, in_flight) <= blocks:
            low = middle
        else:
            high = middle - 1
    return low


def _log_lines(request: Request, rank: _Rank, pool: KvPool | None) -> tuple[str, ...]:
    """What the operator will read at start-up."""
    weights = sum(term.n_bytes for term in rank.terms if term.category == "weights")
    lines = [f"Model loading took {gib(weights):.2f} GiB memory"]
    if pool is None:
        return tuple(lines)
    context = request.workload.context_tokens
    lines.append(f"Available KV cache memory: {gib(rank.available_bytes):.2f} GiB")
    if not pool.n_bytes:
        return (*lines, "ValueError: No available memory for the cache blocks.")
    if pool.max_context_tokens < context:
        one = pool.needed_bytes / request.workload.concurrency
        return (
            *lines,
            f"ValueError: To serve at least one request with the model's max seq len ({context}), ({gib(one):.2f} GiB KV"
            f" cache is needed, which is larger than the available KV cache memory ({gib(rank.available_bytes):.2f} GiB)."
            f" The estimated maximum model length is {pool.max_context_tokens}.",
        )
    lines.append(f"GPU KV cache size: {pool.tokens:,} tokens")
    lines.append(f"Maximum concurrency for {context:,} tokens per request: {pool.max_concurrency:.2f}x")
    return tuple(lines)
