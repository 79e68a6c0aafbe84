"""DeepSpeed: FastGen's blocked KV cache, and ZeRO-Inference's weights in host memory, as its documentation has them.

Sources: https://github.com/deepspeedai/DeepSpeed/blob/master/blogs/deepspeed-fastgen/README.md and
https://www.deepspeed.ai/2022/09/09/zero-inference.html. Nothing of it is calibrated.
"""

from pathlib import Path

from moesize.engines.base import EnginePlan, Request, Term, exact
from moesize.engines.paged import at_least_one, pool_of, tightest_rank
from moesize.engines.rules import VLLM_ONLY, Rules, refuse, rules_for
from moesize.errors import InputError
from moesize.memory.layout import LayoutError
from moesize.units import gib

_CONSTANTS = Path(__file__).with_name("constants.yaml")
_REFUSED = {
    "gpu_memory_utilization": "FastGen's cache takes what is free but for a fixed reserve",
    "n_gpu_layers": "ZeRO-Inference keeps weights on the host by amount; use --cpu-offload",
    "n_cpu_moe": "ZeRO-Inference keeps weights on the host by amount; use --cpu-offload",
    "flash_attention": "its blocked attention never keeps a score matrix",
    **VLLM_ONLY,
    "kv_cache_memory_bytes": "FastGen's cache takes what is free but for a fixed reserve",
}
_WIDE = 16


class DeepSpeed:
    """DeepSpeed FastGen, with ZeRO-Inference when weights are offloaded."""

    name = "deepspeed"

    def plan(self, request: Request) -> EnginePlan:
        """What an MII pipeline would do with this model on these GPUs.

        Raises:
            LayoutError: anything but tensor parallelism.
            InputError: a version, option or cache format it does not have.
        """
        rules = rules_for(self.name, _CONSTANTS, request.version)
        options, layout = request.options, request.layout
        refuse(options, self.name, _REFUSED)
        if layout.pp > 1 or layout.dp > 1 or layout.ep:
            raise LayoutError("DeepSpeed FastGen shards by tensor parallelism alone; it has no --pp, --dp or --ep")
        if request.kv_format.bits < _WIDE:
            raise InputError(f"DeepSpeed FastGen keeps its KV cache in 16 bits, not in {request.kv_format.name}")
        tokens = at_least_one(
            options.max_num_batched_tokens or rules.value("max_ragged_batch_size"), "max_ragged_batch_size"
        )
        seqs = at_least_one(
            options.max_num_seqs or rules.value("max_ragged_sequence_count"), "max_ragged_sequence_count"
        )
        device = request.gpu.memory_bytes
        rank = tightest_rank(
            request, rules, budget=device, tokens=tokens, sampled=min(seqs, tokens), keep_free=lambda _: _reserve(rules)
        )
        pool = None
        if not request.spec.counts:
            block = rules.value("block_tokens")
            pool = pool_of(request, rank.stage, rank.left_bytes, block_tokens=block, keeps_windows=False)
        return EnginePlan(
            version=rules.version,
            device_bytes=device,
            budget_bytes=device,
            terms=rank.terms,
            pool=pool,
            max_num_batched_tokens=tokens,
            max_num_seqs=seqs,
            notes=(rules.uncalibrated, *_offload_notes(request)),
            host_bytes=options.cpu_offload_bytes,
            host_read_bytes_per_token=options.cpu_offload_bytes,
        )


def _reserve(rules: Rules) -> Term:
    entry = rules.entry("reserve_bytes")
    return exact("reserve", "runtime", entry["value"], "engine rule", "left free beside the KV cache", entry["source"])


def _offload_notes(request: Request) -> tuple[str, ...]:
    """ZeRO-Inference brings every offloaded layer over once per step."""
    moved = request.options.cpu_offload_bytes
    if not moved:
        return ()
    link = request.gpu.host_bytes_per_second
    rate = f", at most {link / moved:.2f} steps per second over {request.gpu.host_link}" if link else ""
    return (f"ZeRO-Inference copies {gib(moved):.2f} GiB to the GPU for every step{rate}",)
