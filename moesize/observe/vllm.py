"""The lines of vLLM 0.6 to 0.33, V0 and V1: one entry per line format, with the versions that print it.

Sources: vllm `worker/worker.py` and `executor/executor_base.py` (V0), `v1/worker/gpu_worker.py`,
`v1/worker/gpu_model_runner.py`, `v1/core/kv_cache_utils.py`, `utils/mem_utils.py` (V1). "GB" in V0 is 2^30 bytes.
"""

import re
from collections.abc import Callable

from moesize.observe.observation import Observation
from moesize.observe.patterns import COUNT, NUMBER, Vocabulary, enter, flag, fraction, number, whole

_GIB = r"\s?Gi?B"

#: (words a line must have, expression, names of its groups)
_FIGURES: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (words, re.compile(expression), names)
    for words, expression, names in (
        # 0.6 to 0.7: "Loading model weights took 14.9888 GB"
        ("model weights took", rf"model weights took {NUMBER}{_GIB}", ("weights_gib",)),
        # 0.8 on: "Model loading took 14.99 GiB and 3.2 seconds", later "GiB memory and"
        ("odel loading took", rf"odel loading took {NUMBER}{_GIB}", ("weights_gib",)),
        # 0.6.4: "total_gpu_memory=23.64GiB … peak_torch_memory=… non_torch_memory=0.16GiB kv_cache_size=4.1GiB"
        ("Memory profiling results", rf"total_gpu_memory={NUMBER}{_GIB}", ("gpu_total_gib",)),
        ("Memory profiling results", rf"non_torch_memory={NUMBER}{_GIB}", ("non_torch_gib",)),
        ("Memory profiling results", rf"kv_cache_size={NUMBER}{_GIB}", ("kv_gib",)),
        # 0.6.5 to 0.9, V0
        ("total_gpu_memory (", rf"total_gpu_memory \({NUMBER}{_GIB}\)", ("gpu_total_gib",)),
        (
            "model weights take",
            (
                rf"model weights take {NUMBER}{_GIB}; non_torch_memory takes {NUMBER}{_GIB};"
                rf" PyTorch activation peak memory takes {NUMBER}{_GIB}; .{{0,80}}KV Cache is {NUMBER}{_GIB}"
            ),
            ("weights_gib", "non_torch_gib", "activation_gib", "kv_gib"),
        ),
        ("blocks: ", rf"# (?:GPU|gpu|CUDA|cuda|ROCM|rocm|HIP|hip) blocks: {COUNT}", ("blocks",)),
        # 0.9.2 on, debug level: V1's memory profile, with and without the non-torch figure
        ("torch peak memory increase", rf"torch peak memory increase: {NUMBER}{_GIB}", ("activation_gib",)),
        ("non-torch forward increase", rf"non-torch forward increase memory: {NUMBER}{_GIB}", ("non_torch_gib",)),
        ("weights memory:", rf"weights memory: {NUMBER}{_GIB}", ("weights_gib",)),
        # V1: what is left, in GiB, tokens and sequences
        ("Available KV cache memory", rf"Available KV cache memory: {NUMBER}{_GIB}", ("kv_gib",)),
        ("reserved ", rf"reserved {NUMBER}{_GIB} memory for KV Cache", ("kv_gib",)),
        ("KV cache size:", rf"KV cache size: {COUNT} tokens", ("kv_tokens",)),
        (
            "aximum concurrency for",
            rf"aximum concurrency for {COUNT} tokens per request: {NUMBER}x",
            ("", "concurrency"),
        ),
        ("num_gpu_blocks is", rf"num_gpu_blocks is: {COUNT}", ("v1_blocks",)),
        ("attention block size to", rf"Setting attention block size to {COUNT} tokens", ("block_tokens",)),
        # graphs: 0.8 on the total, 0.15 on the pool beside its estimate
        ("raph capturing finished", rf"raph capturing finished in .{{1,20}}, took {NUMBER}{_GIB}", ("graphs_gib",)),
        ("CUDA graph memory", rf"Estimated CUDA graph memory: {NUMBER}{_GIB}", ("graph_estimate_gib",)),
        (
            "CUDA graph pool memory",
            rf"CUDA graph pool memory: {NUMBER}{_GIB} \(actual\), {NUMBER}{_GIB} \(estimated\)",
            ("graphs_gib", "graph_estimate_gib"),
        ),
        # 0.11 on: a refusal, and a summary that names the device's total
        (
            "ree memory on device",
            rf"ree memory on device .{{0,20}}?\({NUMBER}/{NUMBER}{_GIB}\)",
            ("free_gib", "gpu_total_gib"),
        ),
        ("for peak activation", rf"{NUMBER}{_GIB} for peak activation", ("activation_gib",)),
        ("for non-torch memory", rf"{NUMBER}{_GIB} for non-torch memory", ("non_torch_gib",)),
        # the fit check
        ("KV cache is needed", rf"{NUMBER}{_GIB} KV cache is needed", ("need_gib",)),
        ("available KV cache memory (", rf"available KV cache memory \({NUMBER}{_GIB}\)", ("kv_gib",)),
        ("estimated maximum model length is", rf"estimated maximum model length is {COUNT}", ("estimated_max_len",)),
        ("that can be stored in KV cache", rf"that can be stored in KV cache \({COUNT}\)", ("kv_tokens",)),
    )
)

_SETTINGS = {
    "model": (("model", "model_tag"), lambda text: text),
    "tp": (("tensor_parallel_size",), whole),
    "pp": (("pipeline_parallel_size",), whole),
    "dp": (("data_parallel_size",), whole),
    "ep": (("enable_expert_parallel",), flag),
    "max_model_len": (("max_seq_len", "max_model_len"), whole),
    "max_num_batched_tokens": (("max_num_batched_tokens",), whole),
    "max_num_seqs": (("max_num_seqs",), whole),
    "gpu_memory_utilization": (("gpu_memory_utilization",), fraction),
    "kv_dtype": (("kv_cache_dtype",), lambda text: text),
    "quantization": (("quantization",), lambda text: text),
    "enforce_eager": (("enforce_eager",), flag),
    "dcp": (("decode_context_parallel_size",), whole),
    "prefix_caching": (("enable_prefix_caching",), flag),
    "language_model_only": (("language_model_only",), flag),
    "max_cudagraph_capture_size": (("max_cudagraph_capture_size",), whole),
}
#: Lines that state settings: the engine's, the server's arguments, and single announcements.
_STATING = ("LLM engine (v", "non-default args", "args: Namespace", "Chunked prefill is enabled", "Setting max_num_")
_VERSION = re.compile(r"(?:LLM engine \(v|vLLM API server version |vLLM version:? v?)(\d{1,3}\.\d{1,3}[\w.+-]{0,60})")
_WORDS = Vocabulary(_VERSION, _STATING, _SETTINGS, _FIGURES)
_TOTAL_FRACTION = re.compile(
    rf"(?:gpu_memory_utilization[ =]\(?|[dD]esired GPU memory utilization (?:is )?\(){NUMBER}[,) ]?"
)
_DEVICE = re.compile(r"device_name=([A-Za-z0-9_.-]{3,60}?)(?:,dtype|,block|\.json)")
_CONTEXT = re.compile(rf"(?:aximum concurrency for|Using max model len|max seq len \(?) ?{COUNT}")
#: 0.8 on: which sampler the profile run goes through; else it was not available, or was switched off.
_SAMPLER = re.compile(r"(Using FlashInfer for top-p)|FlashInfer (?:top-p/top-k sampling|is not available|version >=)")
#: 0.8 on; `draft_model` in place of both in V0, whose speculation is not sized.
_SPECULATION = re.compile(
    r"SpeculativeConfig\(method='(\w{1,40})', model=(?:None|'([^'\s]{1,300})'), num_spec_tokens=(\d{1,4})\)"
)
_RANK = re.compile(r"EngineCore_DP([1-9]\d*)")

#: Sentences that end a start, and what they say about it.
_ENDS: tuple[tuple[str, Callable[[Observation], str]], ...] = (
    ("No available memory for the cache blocks", lambda _: "kv_too_small"),
    ("KV cache is needed, which is larger", lambda _: "kv_too_small"),
    ("larger than the maximum number of tokens that can be stored", lambda _: "kv_too_small"),
    ("is less than desired GPU memory utilization", lambda _: "failed"),
    ("out of memory. Tried to allocate", lambda seen: "oom_runtime" if "weights_gib" in seen.figures else "oom_load"),
    ("Application startup complete", lambda _: "ok"),
    ("Maximum concurrency for", lambda _: "ok"),
    ("Graph capturing finished", lambda _: "ok"),
)


def claims(line: str) -> bool:
    """Whether only vLLM prints such a line."""
    return "LLM engine (v" in line or "vLLM API server version" in line or "gpu_model_runner.py" in line


def read(line: str, seen: Observation) -> bool:
    """Enter what a line says; whether it said anything."""
    found = enter(line, seen, _WORDS)
    return _facts(line, seen) or found


def _facts(line: str, seen: Observation) -> bool:
    """Settings that stand in sentences, and how the start ended."""
    found = False
    if match := _CONTEXT.search(line):
        seen.settings["max_model_len"], found = int(number(match[1])), True
    if "gpu" in line.lower() and "emory" in line and (match := _TOTAL_FRACTION.search(line)):
        seen.set("gpu_memory_utilization", fraction(match[1]))
    if match := _DEVICE.search(line):
        seen.set("gpu", match[1].replace("_", " "))
    if match := _SAMPLER.search(line):
        seen.set("flashinfer_sampler", bool(match[1]))
    if match := _SPECULATION.search(line):
        for key, value in zip(("method", "model"), match.groups(), strict=False):
            seen.set(f"speculative_{key}", value)
        seen.set("speculative_tokens", int(match[3]))
    for words, outcome in _ENDS:
        if words in line and seen.outcome in (None, "ok"):
            seen.outcome, found = outcome(seen), True  # type: ignore[assignment]  # one of Outcome's words
    return found


def finish(seen: Observation) -> None:
    """V0 counts blocks of 16 tokens instead of tokens."""
    if "kv_tokens" not in seen.figures:
        for blocks in seen.figures.get("blocks", ()):
            seen.add("kv_tokens", 16 * blocks)


def starts_again(line: str, seen: Observation) -> bool:
    """Whether a line begins another start than the one whose figures were read; replicas of one do not."""
    begins = "Initializing a" in line and "LLM engine (v" in line and not _RANK.search(line)
    return begins and (seen.outcome is not None or "weights_gib" in seen.figures)
