"""What engines with a pool of KV blocks share: weights of a rank, and what bytes left over hold."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from moesize.engines.base import KvPool, Request, Term, exact
from moesize.engines.rules import Rules
from moesize.errors import InputError
from moesize.memory.activations import forward_bytes, logits_bytes
from moesize.memory.kv_cache import LayerCache, bytes_per_token, rank_caches, rank_state_bytes, state_bytes_per_sequence
from moesize.memory.layout import Stage, stages
from moesize.memory.sharding import RankTensor, ShardingRules, rank_tensors
from moesize.memory.weights import published_share_bytes, weights_by_role
from moesize.units import DTYPE_BYTES, gib, round_up


def weight_terms(request: Request, tensors: Iterable[RankTensor]) -> list[Term]:
    """One exact term per role; an even share where only totals are published."""
    spec, scheme = request.spec, request.scheme
    if spec.counts:
        share = published_share_bytes(spec, scheme, request.layout.gpus)
        formula = (
            f"published total × bits of {scheme.name} ÷ {request.layout.gpus} GPUs; how it would divide is not known"
        )
        return [exact("weights", "weights", share, "counted", formula, spec.source)]
    by_role = weights_by_role(tensors, scheme)
    return [
        exact(role.value, "weights", n_bytes, "counted", f"{scheme.name}, on one rank", spec.source)
        for role, n_bytes in sorted(by_role.items(), key=lambda item: -item[1])
    ]


def activation_bytes(request: Request, tensors: Iterable[RankTensor], *, tokens: int, sampled: int) -> int:
    """One forward pass of `tokens`, or the logits of `sampled` positions when they are more."""
    spec = request.spec
    width = 2 if request.scheme.method == "gguf" else DTYPE_BYTES[request.scheme.dtype]
    forward = forward_bytes(tensors, hidden_size=spec.hidden_size or 0, tokens=tokens, element_bytes=width)
    return max(forward, logits_bytes(rows=sampled, vocab_size=spec.vocab_size or 0))


def pool_of(
    request: Request, stage: Stage, available_bytes: int, *, block_tokens: int, keeps_windows: bool
) -> KvPool | None:
    """What `available_bytes` of one rank hold, in blocks; None when the model's caches cannot be known."""
    spec, kv = request.spec, request.kv_format
    caches = rank_caches(spec, kv, request.layout, stage.layers)
    state = rank_state_bytes(spec, request.layout, stage.layers)
    if not caches and not state:
        return None

    def sequence(context: int) -> int:
        return state + round(sum(_layer_bytes(c, context, block_tokens, keeps_windows=keeps_windows) for c in caches))

    return pool_from(request, available_bytes, sequence)


def pool_from(request: Request, available_bytes: int, sequence_bytes: Callable[[int], int]) -> KvPool:
    """The pool of `available_bytes` where one sequence of a context takes `sequence_bytes` of a rank."""
    spec, kv, work = request.spec, request.kv_format, request.workload
    room = max(0, available_bytes)
    each = sequence_bytes(work.context_tokens)
    concurrency = room / each if each else 0.0
    return KvPool(
        n_bytes=room,
        tokens=int(concurrency * work.context_tokens),
        max_context_tokens=largest(sequence_bytes, room, spec.context_length or 2**31),
        max_concurrency=concurrency,
        needed_bytes=each * work.concurrency,
        bytes_per_token=bytes_per_token(spec, kv),
        bytes_per_token_in_window=bytes_per_token(spec, kv, in_window=True),
        state_bytes_per_sequence=state_bytes_per_sequence(spec),
    )


def largest(needed: Callable[[int], int], room: int, limit: int) -> int:
    """The largest argument up to `limit` for which `needed` is within `room`, by bisection; 0 when none is."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if needed(middle) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def shown(value: int, low: int, high: int) -> str:
    """A calibrated figure with its interval, for a receipt."""
    return f"{gib(value):.2f} GiB, between {gib(low):.2f} and {gib(high):.2f}"


def _layer_bytes(cache: LayerCache, context: int, block: int, *, keeps_windows: bool) -> float:
    reach = min(context, cache.window_tokens or context) if keeps_windows else context
    return cache.layers * cache.token_bytes * round_up(reach, block)


@dataclass(frozen=True, slots=True)
class Rank:
    """One stage's fullest rank: its terms, and what of the budget they leave."""

    stage: Stage
    terms: tuple[Term, ...]
    left_bytes: int


def tightest_rank(
    request: Request, rules: Rules, *, budget: int, tokens: int, sampled: int, keep_free: Callable[[int], Term | None]
) -> Rank:
    """The rank with the least left over, of an engine that profiles one step and gives its pool the rest.

    Args:
        request: What was asked.
        rules: Constants with `outside`, `group` and `activation_ratio`.
        budget: Bytes the engine lets itself use.
        tokens: Of one step.
        sampled: Positions of a step whose logits are computed.
        keep_free: What the engine leaves of the bytes that are left, as a term.
    """
    spec, layout = request.spec, request.layout
    ranks = []
    for stage in stages(spec.num_layers, layout.pp):
        tensors = () if spec.counts else rank_tensors(spec, layout, stage, ShardingRules(vocab_multiple=1))
        terms = [*weight_terms(request, tensors), *offload_terms(request, rules)]
        peak = activation_bytes(request, tensors, tokens=tokens, sampled=sampled if stage.last else 0)
        terms += [
            activation_term(rules, peak, f"a step of {tokens} tokens"),
            rules.term("outside torch", "runtime", "outside"),
        ]
        if layout.tp > 1:
            terms.append(rules.term("communication", "runtime", "group"))
        kept = keep_free(max(0, budget - sum(term.n_bytes for term in terms)))
        terms += [kept] if kept else []
        ranks.append(Rank(stage, tuple(terms), max(0, budget - sum(term.n_bytes for term in terms))))
    return min(ranks, key=lambda rank: rank.left_bytes)


def activation_term(rules: Rules, peak: int, what: str) -> Term:
    """A derived peak with the interval of `activation_ratio`."""
    entry = rules.entry("activation_ratio")
    value, low, high = (round(peak * entry[key]) for key in ("value", "low", "high"))
    formula = f"{what}: {shown(value, low, high)} ({entry['fit']})"
    return Term("activations", "activation", value, low, high, "calibrated", formula, entry["source"])


def offload_terms(request: Request, rules: Rules) -> list[Term]:
    """Weights the operator keeps in host memory, taken off the rank."""
    moved = request.options.cpu_offload_bytes
    if not moved:
        return []
    formula = f"weights {rules.engine} keeps in host memory and copies over for every step"
    return [
        exact("offloaded to the host", "weights", -moved, "given", formula, rules.entry("activation_ratio")["source"])
    ]


def at_least_one(value: int, name: str) -> int:
    """A count an operator gave.

    Raises:
        InputError: below 1.
    """
    if value < 1:
        raise InputError(f"{name} is {value}; it must be at least 1")
    return value
