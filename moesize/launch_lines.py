"""The commands that start a deployment: what a plan looks like to the engine."""

import json
from shlex import join

from moesize.engines.base import EngineOptions, Speculation
from moesize.layouts import NODE_GPUS
from moesize.question import Question

#: scheme.method -> what `--quantization` wants when the checkpoint is not stored that way
_ON_THE_FLY = {"fp8": "fp8", "bitsandbytes": "bitsandbytes"}


def launch_lines(question: Question) -> dict[str, str]:
    """Engine -> command line, for the engines that can run the question's quantisation from a checkpoint.

    Settings only vLLM has leave vLLM alone.

    GGUF files are llama.cpp's; it takes no other quantisation, and its own of what is not quantised.
    """
    layout, method = question.layout, question.scheme.method
    options = question.options
    of_vllm = options.speculation or options.language_model_only or options.prefix_caching is not None
    lines: dict[str, str] = {}
    if method != "gguf":
        lines["vllm"] = _vllm(question)
        if layout.pp == 1 and not of_vllm:
            lines["sglang"] = _sglang(question)
    if not of_vllm and method in ("gguf", "none", "mxfp4") and layout.dp == 1 and layout.gpus <= NODE_GPUS:
        lines["llama.cpp"] = _llama_cpp(question)
    return lines


def _repository(question: Question) -> str:
    spec = question.spec
    return spec.hub_ids[0] if spec.hub_ids else spec.name


def _quantised(question: Question) -> str:
    """The repository, or a placeholder where the plan needs a checkpoint in a form of its own."""
    scheme = question.scheme
    if scheme.from_checkpoint or scheme.method in ("none", *_ON_THE_FLY):
        return _repository(question)
    return f"{_repository(question)}-{scheme.name}"


def _vllm(question: Question) -> str:
    layout, work = question.layout, question.workload
    words = ["vllm", "serve", _quantised(question), "--max-model-len", str(work.context_tokens)]
    words += ["--max-num-seqs", str(max(work.concurrency, 1))] if work.concurrency > 256 else []
    for flag, value in (
        ("--tensor-parallel-size", layout.tp),
        ("--pipeline-parallel-size", layout.pp),
        ("--data-parallel-size", layout.dp),
    ):
        words += [flag, str(value)] if value > 1 else []
    words += ["--enable-expert-parallel"] if layout.ep else []
    if not question.scheme.from_checkpoint and question.scheme.method in _ON_THE_FLY:
        words += ["--quantization", _ON_THE_FLY[question.scheme.method]]
    words += ["--kv-cache-dtype", question.kv.name] if question.kv.bits < 16 else []
    return join([*words, *_vllm_settings(question.options)])


def _vllm_settings(options: EngineOptions) -> list[str]:
    """What was asked of the server beside the layout."""
    words: list[str] = []
    if options.gpu_memory_utilization is not None:
        words += ["--gpu-memory-utilization", f"{options.gpu_memory_utilization:g}"]
    if options.prefix_caching is not None:
        words.append("--enable-prefix-caching" if options.prefix_caching else "--no-enable-prefix-caching")
    words += ["--language-model-only"] if options.language_model_only else []
    if options.speculation is not None:
        words += ["--speculative-config", _speculative_config(options.speculation)]
    return words


def _speculative_config(speculation: Speculation) -> str:
    config: dict[str, str | int] = {"method": speculation.method, "num_speculative_tokens": speculation.tokens}
    draft, scheme = speculation.draft, speculation.draft_scheme
    if draft is not None:
        config["model"] = draft.hub_ids[0] if draft.hub_ids else draft.name
    if scheme is not None and not scheme.from_checkpoint and scheme.method in _ON_THE_FLY:
        config["quantization"] = _ON_THE_FLY[scheme.method]
    if speculation.draft_tp is not None:
        config["draft_tensor_parallel_size"] = speculation.draft_tp
    return json.dumps(config)


def _sglang(question: Question) -> str:
    layout, work = question.layout, question.workload
    words = ["python", "-m", "sglang.launch_server", "--model-path", _quantised(question)]
    words += ["--context-length", str(work.context_tokens)]
    words += ["--tp-size", str(layout.tp)] if layout.tp > 1 else []
    words += ["--dp-size", str(layout.dp)] if layout.dp > 1 else []
    words += ["--kv-cache-dtype", "fp8_e4m3"] if question.kv.name.startswith("fp8") else []
    return join(words)


def _llama_cpp(question: Question) -> str:
    work = question.workload
    level = f":{question.scheme.name.upper()}" if question.scheme.method == "gguf" else ""
    words = ["llama-server", "-hf", f"{_repository(question)}-GGUF{level}", "-ngl", "all"]
    words += ["-c", str(work.context_tokens * work.concurrency), "-np", str(work.concurrency)]
    words += ["--split-mode", "layer"] if question.layout.gpus > 1 else []
    return join(words)
