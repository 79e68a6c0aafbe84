"""How each engine spells the settings that decide memory: data only.

Spellings follow the engines' own argument parsers and documentation: vLLM `vllm serve --help=all`
(https://docs.vllm.ai/en/latest/cli/serve), SGLang (https://docs.sglang.io/advanced_features/server_arguments.html),
TGI (https://huggingface.co/docs/text-generation-inference/reference/launcher), llama.cpp
(https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md) and TensorRT-LLM
(https://nvidia.github.io/TensorRT-LLM/commands/trtllm-serve). `_` and `-` are the same, so only `-` is written here.
"""

from collections.abc import Mapping
from typing import Final

from moesize.gate.dialect import Dialect

VLLM: Final = Dialect(
    flags={
        "model": "model",
        "served-model-name": "served_model_name",
        "revision": "revision",
        "quantization": "quantization",
        "q": "quantization",
        "dtype": "dtype",
        "kv-cache-dtype": "kv_cache_dtype",
        "max-model-len": "max_model_len",
        "max-num-seqs": "max_num_seqs",
        "max-num-batched-tokens": "max_num_batched_tokens",
        "tensor-parallel-size": "tensor_parallel",
        "tp": "tensor_parallel",
        "pipeline-parallel-size": "pipeline_parallel",
        "pp": "pipeline_parallel",
        "data-parallel-size": "data_parallel",
        "dp": "data_parallel",
        "data-parallel-size-local": "data_parallel_local",
        "dpl": "data_parallel_local",
        "enable-expert-parallel": "expert_parallel",
        "ep": "expert_parallel",
        "num-redundant-experts": "redundant_experts",
        "eplb-config": "eplb_config",
        "eplb-config.num-redundant-experts": "redundant_experts",
        "all2all-backend": "all_to_all",
        "gpu-memory-utilization": "gpu_memory_utilization",
        "kv-cache-memory-bytes": "kv_cache_memory_bytes",
        "cpu-offload-gb": "cpu_offload_gib",
        "enforce-eager": "enforce_eager",
        "speculative-config": "speculative_config",
        "speculative-config.model": "draft_model",
        "speculative-model": "draft_model",
        "enable-lora": "enable_lora",
        "max-loras": "max_loras",
        "device": "device",
        "nnodes": "nodes",
        "n": "nodes",
        "config": "config_file",
    },
    switches=frozenset(("trust-remote-code", "headless", "async-scheduling", "skip-tokenizer-init", "h", "help")),
    others=frozenset(
        (
            *("api-key", "attention-backend", "block-size", "chat-template"),
            *("compilation-config", "config-format", "cpu-offload-params", "data-parallel-address"),
            *("data-parallel-backend", "data-parallel-rank", "data-parallel-rpc-port"),
            *("data-parallel-start-rank", "data-parallel-hybrid-lb", "data-parallel-external-lb"),
            *("decode-context-parallel-size", "disable-custom-all-reduce", "distributed-executor-backend"),
            *("download-dir", "enable-auto-tool-choice", "enable-chunked-prefill", "enable-eplb"),
            *("enable-lora-bias", "enable-prefix-caching", "enable-sleep-mode"),
            *("generation-config", "hf-config-path", "hf-overrides", "hf-token"),
            *("kv-events-config", "kv-transfer-config"),
            *("load-format", "long-prefill-token-threshold", "lora-dtype", "lora-modules", "max-cpu-loras"),
            *("max-cudagraph-capture-size", "max-log-len", "max-logprobs", "max-long-partial-prefills"),
            *("max-lora-rank", "max-num-partial-prefills", "max-parallel-loading-workers"),
            *("max-seq-len-to-capture", "mm-processor-kwargs", "model-class-overrides", "model-impl"),
            *("model-loader-extra-config", "node-rank", "num-gpu-blocks-override", "num-lookahead-slots"),
            *("num-scheduler-steps", "pooler-config", "prefill-context-parallel-size"),
            *("quantization-param-path", "rope-scaling", "rope-theta"),
            *("speculative-draft-tensor-parallel-size", "stream-interval", "swap-space", "tokenizer"),
            *("tokenizer-mode", "tokenizer-revision"),
        )
    ),
    abbreviates=True,
)

SGLANG: Final = Dialect(
    flags={
        "model-path": "model",
        "model": "model",
        "served-model-name": "served_model_name",
        "revision": "revision",
        "quantization": "quantization",
        "dtype": "dtype",
        "kv-cache-dtype": "kv_cache_dtype",
        "context-length": "max_model_len",
        "max-running-requests": "max_num_seqs",
        "chunked-prefill-size": "max_num_batched_tokens",
        "tensor-parallel-size": "tensor_parallel",
        "tp-size": "tensor_parallel",
        "tp": "tensor_parallel",
        "pipeline-parallel-size": "pipeline_parallel",
        "pp-size": "pipeline_parallel",
        "pp": "pipeline_parallel",
        "data-parallel-size": "data_parallel",
        "dp-size": "data_parallel",
        "dp": "data_parallel",
        "enable-dp-attention": "dp_attention",
        "expert-parallel-size": "expert_parallel_size",
        "ep-size": "expert_parallel_size",
        "ep": "expert_parallel_size",
        "ep-num-redundant-experts": "redundant_experts",
        "moe-a2a-backend": "all_to_all",
        "mem-fraction-static": "gpu_memory_utilization",
        "cpu-offload-gb": "cpu_offload_gib",
        "disable-cuda-graph": "enforce_eager",
        "speculative-draft-model-path": "draft_model",
        "enable-lora": "enable_lora",
        "max-loras-per-batch": "max_loras",
        "device": "device",
        "nnodes": "nodes",
        "disaggregation-mode": "role",
        "config": "config_file",
    },
    switches=frozenset(("trust-remote-code", "skip-tokenizer-init", "is-embedding", "h", "help")),
    others=frozenset(
        (
            *("cuda-graph-bs", "cuda-graph-max-bs"),
            *("disable-cuda-graph-padding", "enable-dp-lm-head", "ep-dispatch-algorithm"),
            *("load-format", "max-lora-rank", "max-prefill-tokens", "max-queued-requests", "max-total-tokens"),
            *("model-impl", "model-loader-extra-config", "moe-dense-tp-size"),
            *("moe-runner-backend", "quantization-param-path", "speculative-algorithm"),
            *("speculative-draft-attention-backend", "speculative-draft-model-revision", "tool-call-parser"),
        )
    ),
    abbreviates=True,
)

TGI: Final = Dialect(
    flags={
        "model-id": "model",
        "revision": "revision",
        "quantize": "quantization",
        "dtype": "dtype",
        "kv-cache-dtype": "kv_cache_dtype",
        "num-shard": "tensor_parallel",
        "max-total-tokens": "max_model_len",
        "max-batch-size": "max_num_seqs",
        "max-batch-prefill-tokens": "max_num_batched_tokens",
        "cuda-memory-fraction": "gpu_memory_utilization",
    },
    environment={
        "MODEL_ID": "model",
        "REVISION": "revision",
        "QUANTIZE": "quantization",
        "DTYPE": "dtype",
        "KV_CACHE_DTYPE": "kv_cache_dtype",
        "NUM_SHARD": "tensor_parallel",
        "MAX_TOTAL_TOKENS": "max_model_len",
        "MAX_BATCH_SIZE": "max_num_seqs",
        "MAX_BATCH_PREFILL_TOKENS": "max_num_batched_tokens",
        "CUDA_MEMORY_FRACTION": "gpu_memory_utilization",
    },
    switches=frozenset(("trust-remote-code", "json-output", "sharded", "e", "env")),
)

LLAMA_CPP: Final = Dialect(
    flags={
        "m": "model",
        "model": "model",
        "hf": "model",
        "hfr": "model",
        "hf-repo": "model",
        "hff": "gguf_file",
        "hf-file": "gguf_file",
        "mu": "model",
        "model-url": "model",
        "a": "served_model_name",
        "alias": "served_model_name",
        "c": "max_model_len",
        "ctx-size": "max_model_len",
        "np": "max_num_seqs",
        "parallel": "max_num_seqs",
        "ub": "max_num_batched_tokens",
        "ubatch-size": "max_num_batched_tokens",
        "ctk": "kv_cache_dtype",
        "cache-type-k": "kv_cache_dtype",
        "ngl": "gpu_layers",
        "gpu-layers": "gpu_layers",
        "n-gpu-layers": "gpu_layers",
        "cmoe": "cpu_moe",
        "cpu-moe": "cpu_moe",
        "ncmoe": "cpu_moe_layers",
        "n-cpu-moe": "cpu_moe_layers",
        "ot": "override_tensor",
        "override-tensor": "override_tensor",
        "md": "draft_model",
        "model-draft": "draft_model",
        "spec-draft-model": "draft_model",
    },
    environment={
        "LLAMA_ARG_MODEL": "model",
        "LLAMA_ARG_HF_REPO": "model",
        "LLAMA_ARG_HF_FILE": "gguf_file",
        "LLAMA_ARG_CTX_SIZE": "max_model_len",
        "LLAMA_ARG_N_PARALLEL": "max_num_seqs",
        "LLAMA_ARG_UBATCH": "max_num_batched_tokens",
        "LLAMA_ARG_CACHE_TYPE_K": "kv_cache_dtype",
        "LLAMA_ARG_N_GPU_LAYERS": "gpu_layers",
        "LLAMA_ARG_CPU_MOE": "cpu_moe",
        "LLAMA_ARG_N_CPU_MOE": "cpu_moe_layers",
        "LLAMA_ARG_OVERRIDE_TENSOR": "override_tensor",
    },
    switches=frozenset(
        ("jinja", "mlock", "embeddings", "embedding", "cont-batching", "cb", "metrics", "swa-full", "khad", "vhad")
    ),
)

TRTLLM: Final = Dialect(
    flags={
        "model": "model",
        "model-path": "model",
        "served-model-name": "served_model_name",
        "revision": "revision",
        "tp-size": "tensor_parallel",
        "tensor-parallel-size": "tensor_parallel",
        "pp-size": "pipeline_parallel",
        "pipeline-parallel-size": "pipeline_parallel",
        "ep-size": "expert_parallel_size",
        "expert-parallel-size": "expert_parallel_size",
        "moe-expert-parallel-size": "expert_parallel_size",
        "enable-attention-dp": "dp_attention",
        "max-batch-size": "max_num_seqs",
        "max-num-tokens": "max_num_batched_tokens",
        "max-seq-len": "max_model_len",
        "kv-cache-free-gpu-memory-fraction": "gpu_memory_utilization",
        "free-gpu-memory-fraction": "gpu_memory_utilization",
        "kv-cache-dtype": "kv_cache_dtype",
        "dtype": "dtype",
        "quantization": "quantization",
        "extra-llm-api-options": "config_file",
        "extra-engine-args": "config_file",
        "config": "config_file",
    },
    switches=frozenset(("trust-remote-code",)),
)

OLLAMA: Final = Dialect(
    flags={},
    environment={
        "OLLAMA_CONTEXT_LENGTH": "max_model_len",
        "OLLAMA_NUM_PARALLEL": "max_num_seqs",
        "OLLAMA_KV_CACHE_TYPE": "kv_cache_dtype",
    },
)

NIM: Final = Dialect(
    flags={},
    environment={
        "NIM_MODEL_NAME": "model",
        "NIM_SERVED_MODEL_NAME": "served_model_name",
        "NIM_MAX_MODEL_LEN": "max_model_len",
        "NIM_TENSOR_PARALLEL_SIZE": "tensor_parallel",
    },
)

DIALECTS: Final[Mapping[str, Dialect]] = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "tgi": TGI,
    "llama.cpp": LLAMA_CPP,
    "tensorrt-llm": TRTLLM,
    "ollama": OLLAMA,
    "nim": NIM,
}
