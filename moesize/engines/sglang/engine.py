"""SGLang: a static share of what is free before loading holds weights and the KV pool; all else runs in the rest.

Source: https://github.com/sgl-project/sglang `python/sglang/srt/model_executor/model_runner.py`
(profile_max_num_token): pool = free after loading − free before loading × (1 − mem_fraction_static). Checked against
public logs (`validation/`).
"""

from dataclasses import dataclass
from pathlib import Path

from moesize.engines.base import EnginePlan, KvPool, Request, Term
from moesize.engines.paged import activation_bytes, largest, offload_terms, pool_from, shown, weight_terms
from moesize.engines.rules import VLLM_ONLY, Rules, refuse, rules_for
from moesize.engines.sglang.static import Settings, settings_of
from moesize.memory.kv_cache import rank_caches, rank_state_bytes
from moesize.memory.layout import LayoutError, Stage, stages
from moesize.memory.sharding import RankTensor, ShardingRules, rank_tensors
from moesize.units import GIB, gib

_CONSTANTS = Path(__file__).with_name("constants.yaml")
_REFUSED = {
    "n_gpu_layers": "every layer is on the GPU; --cpu-offload moves weights to the host",
    "n_cpu_moe": "experts stay on the GPU; --cpu-offload moves weights to the host",
    "flash_attention": "its attention backends never keep a score matrix",
    **VLLM_ONLY,
    "kv_cache_memory_bytes": "it takes --gpu-memory-utilization (mem_fraction_static)",
}


@dataclass(frozen=True, slots=True)
class _Rank:
    """One stage's fullest rank."""

    stage: Stage
    terms: tuple[Term, ...]
    available_bytes: int


class SgLang:
    """The SGLang engine."""

    name = "sglang"

    def plan(self, request: Request) -> EnginePlan:
        """What `sglang.launch_server` would do with this model on these GPUs.

        Raises:
            LayoutError: a layout it refuses.
            InputError: a version or option it does not have.
        """
        rules = rules_for(self.name, _CONSTANTS, request.version)
        refuse(request.options, self.name, _REFUSED)
        if request.layout.dp > 1 and not request.layout.ep and request.spec.experts.routed:
            raise LayoutError(
                "SGLang's attention data parallelism spreads the experts over the same GPUs; add --ep, or start servers"
            )
        settings = settings_of(request, rules)
        budget = int(request.gpu.memory_bytes * settings.fraction)
        spec, layout = request.spec, request.layout
        held = [_rank(request, rules, settings, stage, budget) for stage in stages(spec.num_layers, layout.pp)]
        tightest = min(held, key=lambda rank: rank.available_bytes)
        pool = None if spec.counts else _pool(request, rules, tightest)
        return EnginePlan(
            version=rules.version,
            device_bytes=request.gpu.memory_bytes,
            budget_bytes=budget,
            terms=tightest.terms,
            pool=pool,
            gpu_memory_utilization=settings.fraction,
            max_num_batched_tokens=settings.chunked_prefill,
            max_num_seqs=settings.max_running,
            log_lines=_log_lines(request, tightest, pool, settings),
            notes=_notes(rules, settings),
        )


def _rank(request: Request, rules: Rules, settings: Settings, stage: Stage, budget: int) -> _Rank:
    tensors: tuple[RankTensor, ...] = ()
    if not request.spec.counts:
        tensors = rank_tensors(request.spec, request.layout, stage, ShardingRules(vocab_multiple=64))
    context = "context_group" if request.layout.gpus > 1 else "context"
    share = settings.fraction
    weights = weight_terms(request, tensors)
    terms = [
        *weights,
        *_beyond_checkpoint(request, rules, sum(term.n_bytes for term in weights)),
        *offload_terms(request, rules),
        rules.term(
            "CUDA context",
            "runtime",
            context,
            formula=f"before loading, its {share:.1%} in the static share",
            share=share,
        ),
        rules.term("CUDA context (rest)", "runtime", context, share=1 - share, in_budget=False),
        _activations(request, rules, settings, tensors),
    ]
    if settings.graph_batch:
        terms.append(rules.term("CUDA graphs", "runtime", "graphs", in_budget=False))
    spent = sum(term.n_bytes for term in terms if term.in_budget)
    return _Rank(stage, tuple(terms), max(0, budget - spent))


def _beyond_checkpoint(request: Request, rules: Rules, weights_bytes: int) -> list[Term]:
    """What kernels were seen to keep beyond the checkpoint's bytes, for the families that is known of."""
    entry = rules.entry("loaded_beyond")
    if request.spec.architecture not in entry["architectures"]:
        return []
    value, low, high = (round(weights_bytes * entry[key]) for key in ("value", "low", "high"))
    formula = f"{entry['what']}: {shown(value, low, high)} ({entry['fit']})"
    return [Term("loaded beyond checkpoint", "weights", value, low, high, "calibrated", formula, entry["source"])]


def _activations(request: Request, rules: Rules, settings: Settings, tensors: tuple[RankTensor, ...]) -> Term:
    entry = rules.entry("activation_ratio")
    peak = activation_bytes(request, tensors, tokens=settings.chunked_prefill, sampled=settings.graph_batch or 1)
    low, high = round(peak * entry["low"]), round(peak * entry["high"])
    formula = f"a chunk of {settings.chunked_prefill} tokens: {shown(peak, low, high)} ({entry['fit']})"
    return Term("activations", "activation", peak, low, high, "calibrated", formula, entry["source"], in_budget=False)


def _pool(request: Request, rules: Rules, rank: _Rank) -> KvPool | None:
    """Tokens of the pool; windowed layers keep a fixed share of them, states their own share of the bytes."""
    spec, layout = request.spec, request.layout
    caches = rank_caches(spec, request.kv_format, layout, rank.stage.layers)
    state = rank_state_bytes(spec, layout, rank.stage.layers)
    if not caches and not state:
        return None
    windowed = [c for c in caches if c.window_tokens]
    full = sum(c.layers * c.token_bytes for c in caches if not c.window_tokens)
    ratio = rules.value("swa_full_tokens_ratio") if full else 1.0
    token = full + ratio * sum(c.layers * c.token_bytes for c in windowed)

    def sequence(context: int) -> int:
        return state + round(context * token)

    share = 1.0
    if state and token:
        weight = rules.value("mamba_full_memory_ratio")
        share = 1 / (1 + weight)
    pool = pool_from(request, rank.available_bytes, sequence)
    if not token:
        return pool
    tokens = int(rank.available_bytes * share / token)
    seats = rank.available_bytes * (1 - share) / state if state else float("inf")
    context = request.workload.context_tokens
    return pool._replace(
        tokens=tokens,
        max_context_tokens=min(largest(lambda n: n, tokens, spec.context_length or 2**31), tokens),
        max_concurrency=min(tokens / context, seats),
        needed_bytes=_needed(request, token, state, share),
    )


def _needed(request: Request, token: float, state: int, share: float) -> int:
    """Bytes of a pool that serves the workload; caches and states have fixed shares of it, so the tighter decides."""
    work = request.workload
    caches = work.concurrency * work.context_tokens * token
    if not state or share == 1.0:
        return round(caches)
    return round(max(caches / share, work.concurrency * state / (1 - share)))


def _log_lines(request: Request, rank: _Rank, pool: KvPool | None, settings: Settings) -> tuple[str, ...]:
    """What the operator reads; SGLang writes GB for GiB."""
    weights = sum(term.n_bytes for term in rank.terms if term.category == "weights")
    outside = [term for term in rank.terms if term.term.startswith("CUDA context")]
    free = request.gpu.memory_bytes - sum(term.n_bytes for term in outside)
    avail = gib(free - weights)
    family = request.spec.architecture
    lines = [f"Load weight end. type={family}, avail mem={avail:.2f} GB, mem usage={gib(weights):.2f} GB."]
    if pool is None:
        return tuple(lines)
    if not pool.tokens:
        return (*lines, "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.")
    half = pool.n_bytes / 2 / GIB
    lines.append(f"KV Cache is allocated. #tokens: {pool.tokens}, K size: {half:.2f} GB, V size: {half:.2f} GB")
    lines.append(
        f"max_total_num_tokens={pool.tokens}, chunked_prefill_size={settings.chunked_prefill},"
        f" context_len={request.workload.context_tokens}, available_gpu_mem={gib(free - weights - pool.n_bytes):.2f} GB"
    )
    return tuple(lines)


def _notes(rules: Rules, settings: Settings) -> tuple[str, ...]:
    notes = []
    if settings.reserved_mib is not None:
        notes.append(
            f"mem_fraction_static {settings.fraction:.3f}: SGLang reserves {settings.reserved_mib} MiB of the"
            f" {settings.smi_mib} MiB nvidia-smi reports"
        )
    if rules.key < (0, 5):
        notes.append(f"SGLang {rules.version} was not measured; the rules are those read from 0.5")
    return tuple(notes)
