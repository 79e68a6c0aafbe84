"""What the pool of a deployment holds: blocks, tokens, the longest sequence, sequences at once."""

from typing import NamedTuple

from moesize.engines.base import KvPool, Request
from moesize.engines.vllm.activations import Step
from moesize.engines.vllm.constants import Rules
from moesize.engines.vllm.pool import PoolPlan
from moesize.memory.kv_cache import bytes_per_token, state_bytes_per_sequence
from moesize.model.spec import ModelSpec


class Capacity(NamedTuple):
    """The pool as the report shows it, and what vLLM itself prints of it."""

    pool: KvPool
    blocks: int
    blocks_per_sequence: int
    printed_tokens: int


def in_flight_tokens(request: Request, rules: Rules, step: Step) -> int:
    """Tokens of all scheduler steps that may run at once; pipelines keep one per stage in flight.

    Source: vllm `config/vllm.py` (max_in_flight_tokens).
    """
    batches = rules.batches_in_flight
    if batches > 1 and request.layout.pp > 1:
        batches = request.layout.pp + 1
    return batches * step.batched_tokens


def capacity_of(
    request: Request,
    rules: Rules,
    step: Step,
    pools: list[tuple[PoolPlan, int]],
    shown: PoolPlan,
    draft: ModelSpec | None = None,
) -> Capacity:
    """What `pools` (plan and bytes of each stage) hold together: all stages take the smallest number of blocks.

    `shown` is the stage the report is about; a `draft` keeps caches of its own.
    """
    spec, kv, context = request.spec, request.kv_format, request.workload.context_tokens
    blocks = min(pool.blocks(available) for pool, available in pools)
    in_flight = in_flight_tokens(request, rules, step)
    needed = max(pool.blocks_per_sequence(context, in_flight) for pool, _ in pools)
    concurrency = min(pool.concurrency(blocks, context, in_flight) for pool, _ in pools)
    tokens = int(concurrency * context)
    pool = KvPool(
        n_bytes=blocks * shown.block_bytes,
        tokens=tokens,
        max_context_tokens=longest(shown, blocks - 1, in_flight, spec.context_length or 2**31),
        max_concurrency=concurrency,
        needed_bytes=needed * request.workload.concurrency * shown.block_bytes,
        bytes_per_token=sum(bytes_per_token(s, kv) for s in (spec, draft) if s),
        bytes_per_token_in_window=sum(bytes_per_token(s, kv, in_window=True) for s in (spec, draft) if s),
        state_bytes_per_sequence=state_bytes_per_sequence(spec),
    )
    printed = tokens if rules.tokens_by_concurrency else shown.slots(blocks)
    return Capacity(pool, blocks, needed, printed)


def longest(pool: PoolPlan, blocks: int, in_flight: int, limit: int) -> int:
    """The longest sequence `blocks` blocks hold, by bisection as vLLM estimates it."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if pool.blocks_per_sequence(middle, in_flight) <= blocks:
            low = middle
        else:
            high = middle - 1
    return low
