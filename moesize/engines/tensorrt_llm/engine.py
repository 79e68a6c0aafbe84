"""TensorRT-LLM: the KV pool takes a fraction of what is *free* once weights are loaded and a step was profiled.

Source: https://nvidia.github.io/TensorRT-LLM/reference/memory.html and KvCacheConfig; a public log reproduces it:
0.9 · (139.80 − 17.62 GiB) = 109.96 GiB.
"""

from pathlib import Path

from moesize.engines.base import EnginePlan, Request, Term, exact
from moesize.engines.paged import at_least_one, pool_of, tightest_rank
from moesize.engines.rules import VLLM_ONLY, fraction, refuse, rules_for
from moesize.memory.layout import LayoutError
from moesize.units import gib

_CONSTANTS = Path(__file__).with_name("constants.yaml")
_REFUSED = {
    "cpu_offload_bytes": "weights stay on the GPU",
    "n_gpu_layers": "every layer is on the GPU",
    "n_cpu_moe": "experts stay on the GPU",
    "flash_attention": "its kernels never keep a score matrix",
    **VLLM_ONLY,
    "kv_cache_memory_bytes": "give --gpu-memory-utilization, its free_gpu_memory_fraction",
}


class TensorRtLlm:
    """The TensorRT-LLM engine (PyTorch backend)."""

    name = "tensorrt-llm"

    def plan(self, request: Request) -> EnginePlan:
        """What `trtllm-serve` would do with this model on these GPUs.

        Raises:
            LayoutError: a layout it refuses.
            InputError: a version or option it does not have.
        """
        rules = rules_for(self.name, _CONSTANTS, request.version)
        options = request.options
        refuse(options, self.name, _REFUSED)
        if request.gpu.vendor.lower() not in ("nvidia", ""):
            raise LayoutError(f"TensorRT-LLM runs on NVIDIA GPUs, not on {request.gpu.name}")
        given = options.gpu_memory_utilization
        share = fraction(
            rules.value("free_gpu_memory_fraction") if given is None else given, "free_gpu_memory_fraction"
        )
        tokens = at_least_one(options.max_num_batched_tokens or rules.value("max_num_tokens"), "max_num_tokens")
        seqs = min(at_least_one(options.max_num_seqs or rules.value("max_batch_size"), "max_batch_size"), tokens)
        source = rules.entry("free_gpu_memory_fraction")["source"]

        def keep_free(left: int) -> Term:
            formula = f"(1 − {share:g}) of what is free after loading and a profiled step"
            return exact("left free", "runtime", round(left * (1 - share)), "engine rule", formula, source)

        device = request.gpu.memory_bytes
        rank = tightest_rank(request, rules, budget=device, tokens=tokens, sampled=seqs, keep_free=keep_free)
        block = rules.value("tokens_per_block")
        pool = None
        if not request.spec.counts:
            pool = pool_of(request, rank.stage, rank.left_bytes, block_tokens=block, keeps_windows=True)
        lines: tuple[str, ...] = ()
        if pool:
            lines = (f"Allocated {gib(pool.n_bytes):.2f} GiB for max tokens in paged KV cache ({pool.tokens}).",)
        return EnginePlan(
            version=rules.version,
            device_bytes=device,
            budget_bytes=device,
            terms=rank.terms,
            pool=pool,
            gpu_memory_utilization=share,
            max_num_batched_tokens=tokens,
            max_num_seqs=seqs,
            log_lines=lines,
            notes=(rules.uncalibrated,),
        )
