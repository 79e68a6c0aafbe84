"""TGI: warms up with a full prefill, then gives its KV blocks what is left of a fraction of the card.

Source: https://github.com/huggingface/text-generation-inference `server/text_generation_server/utils/import_utils.py`
(get_free_memory: free − (1 − fraction) · total) and `models/flash_causal_lm.py` (warmup).
"""

from pathlib import Path

from moesize.engines.base import EnginePlan, Request
from moesize.engines.paged import at_least_one, pool_of, tightest_rank
from moesize.engines.rules import VLLM_ONLY, fraction, refuse, rules_for
from moesize.memory.layout import LayoutError

_CONSTANTS = Path(__file__).with_name("constants.yaml")
_REFUSED = {
    "cpu_offload_bytes": "weights stay on the GPU",
    "n_gpu_layers": "every layer is on the GPU",
    "n_cpu_moe": "experts stay on the GPU",
    "flash_attention": "its attention never keeps a score matrix",
    **VLLM_ONLY,
    "kv_cache_memory_bytes": "give --gpu-memory-utilization, its --cuda-memory-fraction",
}


class Tgi:
    """Hugging Face text-generation-inference."""

    name = "tgi"

    def plan(self, request: Request) -> EnginePlan:
        """What `text-generation-launcher` would do with this model on these GPUs.

        Raises:
            LayoutError: anything but tensor parallelism (`--num-shard`).
            InputError: a version or option it does not have.
        """
        rules = rules_for(self.name, _CONSTANTS, request.version)
        options, layout = request.options, request.layout
        refuse(options, self.name, _REFUSED)
        if layout.pp > 1 or layout.dp > 1 or layout.ep:
            raise LayoutError("TGI splits every layer over its shards (--num-shard); it has no --pp, --dp or --ep")
        given = options.gpu_memory_utilization
        share = fraction(rules.value("cuda_memory_fraction") if given is None else given, "cuda_memory_fraction")
        prefill = options.max_num_batched_tokens or _prefill(request, rules.value("max_batch_prefill_tokens"))
        tokens = at_least_one(prefill, "max_batch_prefill_tokens")
        seqs = at_least_one(options.max_num_seqs or rules.value("max_batch_size"), "max_batch_size")
        budget = int(request.gpu.memory_bytes * share * rules.value("wiggle_room"))
        rank = tightest_rank(request, rules, budget=budget, tokens=tokens, sampled=seqs, keep_free=lambda _: None)
        pool = None
        if not request.spec.counts:
            block = rules.value("block_tokens")
            pool = pool_of(request, rank.stage, rank.left_bytes, block_tokens=block, keeps_windows=False)
        lines = (f"Setting max batch total tokens to {pool.tokens}",) if pool else ()
        return EnginePlan(
            version=rules.version,
            device_bytes=request.gpu.memory_bytes,
            budget_bytes=budget,
            terms=rank.terms,
            pool=pool,
            gpu_memory_utilization=share,
            max_num_batched_tokens=tokens,
            max_num_seqs=seqs,
            log_lines=lines,
            notes=(rules.uncalibrated,),
        )


def _prefill(request: Request, default: int) -> int:
    """--max-batch-prefill-tokens covers the longest prompt."""
    return max(default, request.workload.context_tokens)
