"""The lines an operator reads at start-up, predicted, in the words of the version."""

from moesize.engines.base import Request, Term
from moesize.engines.vllm.capacity import Capacity
from moesize.engines.vllm.constants import Rules
from moesize.units import gib

_TRY = "Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
_NONE = (
    "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine."
)
_FIRST_V1 = (0, 8)
_FIRST_ESTIMATE = (0, 9)


def log_lines(
    request: Request, rules: Rules, terms: tuple[Term, ...], available_bytes: int, capacity: Capacity | None
) -> tuple[str, ...]:
    """Weights, pool and concurrency, or the refusal the server stops with."""
    weights = gib(sum(term.n_bytes for term in terms if term.category == "weights"))
    v1 = rules.key >= _FIRST_V1
    lines = [f"Model loading took {weights:.2f} GiB memory" if v1 else f"Loading model weights took {weights:.4f} GB"]
    if capacity is None:
        return tuple(lines)
    pool, context = capacity.pool, request.workload.context_tokens
    if v1:
        lines.append(f"Available KV cache memory: {gib(available_bytes):.2f} GiB")
    if not capacity.blocks:
        return (*lines, f"ValueError: {_NONE}")
    if pool.max_context_tokens < context:
        return (*lines, f"ValueError: {_refusal(request, rules, available_bytes, capacity)}")
    if v1:
        lines.append(f"GPU KV cache size: {capacity.printed_tokens:,} tokens")
    else:
        lines.append(f"# GPU blocks: {capacity.blocks}")
    lines.append(f"Maximum concurrency for {context:,} tokens per request: {pool.max_concurrency:.2f}x")
    return tuple(lines)


def _refusal(request: Request, rules: Rules, available_bytes: int, capacity: Capacity) -> str:
    """Why the server does not start: one sequence of max_model_len does not fit."""
    context = request.workload.context_tokens
    if rules.key < _FIRST_V1:
        return (
            f"The model's max seq len ({context}) is larger than the maximum number of tokens that can be stored in KV"
            f" cache ({capacity.printed_tokens}). {_TRY}"
        )
    one = gib(capacity.pool.needed_bytes / request.workload.concurrency)
    text = (
        f"To serve at least one request with the model's max seq len ({context}), ({one:.2f} GiB KV cache is needed,"
        f" which is larger than the available KV cache memory ({gib(available_bytes):.2f} GiB)."
    )
    if rules.key < _FIRST_ESTIMATE:
        return f"{text} {_TRY}"
    longest = capacity.pool.max_context_tokens
    return f"{text} Based on the available memory, the estimated maximum model length is {longest}. {_TRY}"
