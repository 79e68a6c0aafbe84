"""Hugging Face transformers: no pool and no budget; the cache grows with the tokens, and all must fit on the card.

Sources: https://huggingface.co/docs/transformers/main/en/kv_cache and `generation/utils.py`. Several GPUs share the
layers (`device_map="auto"`); a prompt is prefilled whole.
"""

from dataclasses import dataclass
from pathlib import Path

from moesize.engines.base import EnginePlan, KvPool, Request, Term
from moesize.engines.paged import activation_bytes, activation_term, offload_terms, pool_of, weight_terms
from moesize.engines.rules import VLLM_ONLY, Rules, refuse, rules_for
from moesize.memory.layout import LayoutError, Stage, stages
from moesize.memory.sharding import ShardingRules, rank_tensors
from moesize.units import GIB

_CONSTANTS = Path(__file__).with_name("constants.yaml")
_REFUSED = {
    **VLLM_ONLY,
    "gpu_memory_utilization": "it takes what it needs",
    "max_num_batched_tokens": "a prompt is prefilled whole",
    "max_num_seqs": "a batch is what --concurrency says",
    "kv_cache_memory_bytes": "its cache grows with the tokens",
    "n_gpu_layers": "it takes --cpu-offload",
    "n_cpu_moe": "it takes --cpu-offload",
}


@dataclass(frozen=True, slots=True)
class _Device:
    """One GPU and what it holds."""

    stage: Stage
    terms: tuple[Term, ...]
    pool: KvPool | None

    @property
    def free_bytes(self) -> int:
        """Negative where the workload does not fit; only for comparing devices."""
        return -sum(t.n_bytes for t in self.terms) - (self.pool.needed_bytes if self.pool else 0)


class Transformers:
    """`model.generate` of transformers."""

    name = "transformers"

    def plan(self, request: Request) -> EnginePlan:
        """What loading and generating would take.

        Raises:
            LayoutError: anything but layers spread over GPUs.
            InputError: a version or option it does not have.
        """
        rules = rules_for(self.name, _CONSTANTS, request.version)
        refuse(request.options, self.name, _REFUSED)
        layout, spec = request.layout, request.spec
        if layout.tp > 1 or layout.dp > 1 or layout.ep:
            raise LayoutError(
                'transformers spreads layers over GPUs (device_map="auto"): --gpus or --pp, not --tp, --dp or --ep'
            )
        devices = [_device(request, rules, stage) for stage in stages(spec.num_layers, layout.pp)]
        fullest = min(devices, key=lambda device: device.free_bytes)
        return EnginePlan(
            version=rules.version,
            device_bytes=request.gpu.memory_bytes,
            budget_bytes=request.gpu.memory_bytes,
            terms=fullest.terms,
            pool=fullest.pool,
            notes=(rules.uncalibrated,),
            host_bytes=request.options.cpu_offload_bytes,
            host_read_bytes_per_token=request.options.cpu_offload_bytes,
        )


def _device(request: Request, rules: Rules, stage: Stage) -> _Device:
    spec, work = request.spec, request.workload
    tensors = () if spec.counts else rank_tensors(spec, request.layout, stage, ShardingRules(vocab_multiple=1))
    tokens = work.context_tokens * work.concurrency
    rows = 0 if not stage.last else work.concurrency if rules.value("last_logits_only") else tokens
    peak = activation_bytes(request, tensors, tokens=tokens, sampled=rows) + _scores(request, rules)
    what = f"prefill of {tokens} tokens{', scores kept' if request.options.flash_attention is False else ''}"
    terms = [*weight_terms(request, tensors), *offload_terms(request, rules), activation_term(rules, peak, what)]
    terms.append(rules.term("CUDA context", "runtime", "outside"))
    windows = rules.value("windowed_cache")
    held = 0 if spec.counts else _pool(request, stage, 0, windows)
    if isinstance(held, KvPool):
        entry = rules.entry("cache_growth")
        value, low, high = (round(held.needed_bytes * entry[key]) for key in ("value", "low", "high"))
        formula = f"{entry['what']}: {low / GIB:.2f} to {high / GIB:.2f} GiB ({entry['fit']})"
        terms.append(Term("cache growth", "runtime", value, low, high, "calibrated", formula, entry["source"]))
    left = request.gpu.memory_bytes - sum(term.n_bytes for term in terms)
    return _Device(stage, tuple(terms), None if spec.counts else _pool(request, stage, max(0, left), windows))


def _pool(request: Request, stage: Stage, room: int, windows: bool) -> KvPool | None:  # noqa: FBT001  a rule's value
    return pool_of(request, stage, room, block_tokens=1, keeps_windows=windows)


def _scores(request: Request, rules: Rules) -> int:
    """Eager attention's score matrices of one layer; SDPA keeps none."""
    if request.options.flash_attention is not False:
        return 0
    work = request.workload
    heads = max((a.num_heads for a in request.spec.attentions), default=0)
    return int(work.concurrency * heads * work.context_tokens**2 * rules.value("eager_score_bytes"))
