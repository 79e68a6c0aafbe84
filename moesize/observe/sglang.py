"""The lines of SGLang. Its "GB" are 2^30 bytes.

Sources: sglang `model_executor/model_runner.py`, `mem_cache/memory_pool.py`, `managers/scheduler.py`, `server_args.py`.
"""

import re

from moesize.observe.observation import Observation
from moesize.observe.patterns import COUNT, NUMBER, Vocabulary, enter, fraction, number, whole

_FIGURES: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (words, re.compile(expression), names)
    for words, expression, names in (
        ("Load weight end", rf"mem usage={NUMBER} ?GB", ("weights_gib",)),
        ("KV Cache is allocated", rf"#tokens: {COUNT}", ("kv_tokens",)),
        ("KV Cache is allocated", rf"KV size: {NUMBER} ?GB", ("kv_gib",)),
        ("raph end", rf"mem usage={NUMBER} ?GB", ("graphs_gib",)),
        ("max_total_num_tokens=", rf"max_total_num_tokens={COUNT}", ("kv_tokens",)),
        ("available_gpu_mem=", rf"available_gpu_mem={NUMBER} ?GB", ("free_gib",)),
    )
)
_HALVES = re.compile(rf"K size: {NUMBER} ?GB, V size: {NUMBER} ?GB")
_STATES = re.compile(rf"conv_state size: {NUMBER} ?GB, ssm_state size: {NUMBER} ?GB")
_AVAILABLE = re.compile(rf"avail mem={NUMBER} ?GB")
_VERSION = re.compile(r"(?i:sglang)[ _](?i:version)[:=]? ?v?(\d{1,3}\.\d{1,3}[\w.+-]{0,40})")

_SETTINGS = {
    "model": (("model_path",), lambda text: text),
    "tp": (("tp_size",), whole),
    "pp": (("pp_size",), whole),
    "dp": (("dp_size",), whole),
    "ep_size": (("ep_size",), whole),
    "max_model_len": (("context_length", "context_len"), whole),
    "max_num_batched_tokens": (("chunked_prefill_size",), whole),
    "max_num_seqs": (("max_running_requests",), whole),
    "gpu_memory_utilization": (("mem_fraction_static",), fraction),
    "kv_dtype": (("kv_cache_dtype",), lambda text: text),
    "quantization": (("quantization",), lambda text: text),
}
_STATING = ("server_args", "ServerArgs(", "max_total_num_tokens=")
_WORDS = Vocabulary(_VERSION, _STATING, _SETTINGS, _FIGURES)


def claims(line: str) -> bool:
    """Whether only SGLang prints such a line."""
    return "ServerArgs(" in line or "Load weight end" in line or "KV Cache is allocated" in line


def read(line: str, seen: Observation) -> bool:
    """Enter what a line says; whether it said anything."""
    found = enter(line, seen, _WORDS)
    return _pools(line, seen) or _ends(line, seen) or found


def _pools(line: str, seen: Observation) -> bool:
    """Figures that are sums or differences of two printed ones."""
    if "KV Cache is allocated" in line and (match := _HALVES.search(line)):
        seen.add("kv_gib", round(number(match[1]) + number(match[2]), 4))
        return True
    if "Mamba Cache is allocated" in line and (match := _STATES.search(line)):
        seen.add("state_gib", round(number(match[1]) + number(match[2]), 4))
        return True
    if "Load weight begin" in line and (match := _AVAILABLE.search(line)):
        seen.settings["_before_gib"] = number(match[1])
    elif "Load weight end" in line and "mem usage" not in line and (match := _AVAILABLE.search(line)):
        before = seen.settings.get("_before_gib")
        if before is not None:  # releases of 2024 print no usage of their own
            seen.add("weights_gib", round(before - number(match[1]), 4))
            return True
    return False


def _ends(line: str, seen: Observation) -> bool:
    if "Not enough memory. Please try to increase" in line or "Not enough memory. Please try increasing" in line:
        seen.outcome = "kv_too_small"
    elif "out of memory. Tried to allocate" in line and seen.outcome is None:
        seen.outcome = "oom_runtime" if "weights_gib" in seen.figures else "oom_load"
    elif "server is fired up" in line or ("max_total_num_tokens=" in line and seen.outcome is None):
        seen.outcome = "ok"
    else:
        return False
    return True


def finish(seen: Observation) -> None:
    """Drop what was only kept to subtract from."""
    seen.settings.pop("_before_gib", None)


def starts_again(line: str, seen: Observation) -> bool:
    """Whether a line begins another start."""
    return "ServerArgs(" in line and bool(seen.figures)
