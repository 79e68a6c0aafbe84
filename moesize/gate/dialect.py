"""What the gate reads of an engine's flags: which settings there are, and the form their spellings are written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["text", "integer", "number", "switch", "bytes", "json"]

#: What each setting holds. Names are the fields of `Deployment`, or are worked up into them by `settings`.
KINDS: Final[Mapping[str, Kind]] = {
    "model": "text",
    "served_model_name": "text",
    "revision": "text",
    "quantization": "text",
    "dtype": "text",
    "kv_cache_dtype": "text",
    "max_model_len": "integer",
    "max_num_seqs": "integer",
    "max_num_batched_tokens": "integer",
    "tensor_parallel": "integer",
    "pipeline_parallel": "integer",
    "data_parallel": "integer",
    "data_parallel_local": "integer",
    "dp_attention": "switch",
    "expert_parallel": "switch",
    "expert_parallel_size": "integer",
    "redundant_experts": "integer",
    "all_to_all": "text",
    "gpu_memory_utilization": "number",
    "kv_cache_memory_bytes": "bytes",
    "cpu_offload_gib": "number",
    "enforce_eager": "switch",
    "draft_model": "text",
    "speculative_config": "json",
    "speculative_method": "text",
    "speculative_tokens": "integer",
    "decode_context_parallel": "integer",
    "prefix_caching": "switch",
    "max_cudagraph_capture_size": "integer",
    "language_model_only": "switch",
    "eplb_config": "json",
    "enable_lora": "switch",
    "max_loras": "integer",
    "gpu_layers": "integer",
    "cpu_moe": "switch",
    "cpu_moe_layers": "integer",
    "override_tensor": "text",
    "device": "text",
    "nodes": "integer",
    "config_file": "text",
    "gguf_file": "text",
    "role": "text",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The flags of one engine."""

    flags: Mapping[str, str]
    #: Environment variables the engine reads; a flag wins over them.
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Flags without a value that no prefix betrays as such.
    switches: frozenset[str] = frozenset()
    #: Other flags of the engine: an abbreviation that one of them also begins with is ambiguous.
    others: frozenset[str] = frozenset()
    #: Python's argparse takes any unambiguous beginning of a flag.
    abbreviates: bool = False
