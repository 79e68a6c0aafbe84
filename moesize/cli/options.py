"""Options several commands share, with vLLM's own spellings beside ours."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from moesize.cli import completion


class TowerMode(StrEnum):
    """How vision and audio towers are spread over tensor-parallel ranks."""

    WEIGHTS = "weights"
    DATA = "data"


class Format(StrEnum):
    """How an answer is written; `compare` and `gate` know more."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Catalogue name, Hub id (org/name[@revision]), config.json, checkpoint folder, .gguf or spec YAML.",
        show_default=False,
        autocompletion=completion.models,
    ),
]
Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL…", help="One or several models.", show_default=False, autocompletion=completion.models
    ),
]
GpuList = Annotated[
    str, typer.Option("--gpu", "-g", help="GPUs, comma-separated, or all.", autocompletion=completion.gpu_list)
]
QuantList = Annotated[
    str,
    typer.Option(
        "--quant", "-q", help="Weight formats, comma-separated, or all.", autocompletion=completion.quant_list
    ),
]
Gpus = Annotated[int | None, typer.Option("--gpus", "-n", help="How many GPUs; tensor parallel unless told otherwise.")]
Quant = Annotated[
    str | None,
    typer.Option(
        "--quant",
        "-q",
        "--quantization",
        help="Weight format; default: as stored.",
        autocompletion=completion.quants,
    ),
]
Context = Annotated[
    int | None,
    typer.Option("--context", "-c", "--max-model-len", help="Tokens per sequence; default: min(8192, model)."),
]
Concurrency = Annotated[int, typer.Option("--concurrency", help="Sequences at once, each of --context tokens.")]
KvDtype = Annotated[
    str, typer.Option("--kv-dtype", "--kv-cache-dtype", help="KV cache format: auto, fp16, bf16, fp8, int8, q8_0, …")
]
EngineName = Annotated[
    str, typer.Option("--engine", help="Serving engine whose rules apply.", autocompletion=completion.engines)
]
EngineVersion = Annotated[str | None, typer.Option("--engine-version", help="Its version; default: the newest known.")]
Tp = Annotated[int | None, typer.Option("--tp", "--tensor-parallel-size", help="Tensor parallel size.")]
Pp = Annotated[int, typer.Option("--pp", "--pipeline-parallel-size", help="Pipeline stages.")]
Dp = Annotated[int, typer.Option("--dp", "--data-parallel-size", help="Data parallel replicas.")]
Ep = Annotated[bool, typer.Option("--ep", "--enable-expert-parallel", help="Whole experts per rank instead of slices.")]
Dcp = Annotated[
    int, typer.Option("--dcp", "--decode-context-parallel-size", help="vLLM: GPUs of a tp group that share a sequence.")
]
Speculative = Annotated[
    str | None,
    typer.Option(
        "--speculative",
        "--speculative-config",
        help="vLLM: mtp, mtp:3, ngram:5, eagle3:3:MODEL, draft_model:5:MODEL, or its JSON.",
        autocompletion=completion.speculative,
    ),
]
PrefixCaching = Annotated[
    bool | None,
    typer.Option(
        "--enable-prefix-caching/--no-enable-prefix-caching",
        help="vLLM: models with recurrent states keep further copies of them.",
    ),
]
LanguageOnly = Annotated[bool, typer.Option("--language-model-only", help="vLLM: without vision and audio towers.")]
FlashinferSampler = Annotated[
    bool | None,
    typer.Option(
        "--flashinfer-sampler/--no-flashinfer-sampler",
        help="vLLM: whether FlashInfer's sampler is installed and runs (VLLM_USE_FLASHINFER_SAMPLER).",
    ),
]
CaptureSize = Annotated[
    int | None, typer.Option("--max-cudagraph-capture-size", help="vLLM: largest batch CUDA graphs are captured for.")
]
Utilization = Annotated[
    float | None, typer.Option("--gpu-memory-utilization", help="Fraction of the card the engine may use.")
]
BatchedTokens = Annotated[
    int | None, typer.Option("--max-num-batched-tokens", "--ubatch-size", help="Tokens of one step.")
]
Seqs = Annotated[int | None, typer.Option("--max-num-seqs", "--parallel", help="Sequences of one step; slots.")]
CpuOffload = Annotated[
    float, typer.Option("--cpu-offload", "--cpu-offload-gb", help="GiB of weights per GPU kept in host memory.")
]
HostBandwidth = Annotated[
    str | None, typer.Option("--host-bandwidth", help="Host memory: GB/s, or channels (2xDDR5-5600). For speed bounds.")
]
GpuLayers = Annotated[
    int | None, typer.Option("--n-gpu-layers", "-ngl", help="llama.cpp: layers on the GPU; the rest in host memory.")
]
CpuMoe = Annotated[
    int | None, typer.Option("--n-cpu-moe", "-ncmoe", help="llama.cpp: first layers whose experts stay in host memory.")
]
FlashAttention = Annotated[
    bool | None,
    typer.Option("--flash-attn/--no-flash-attn", help="llama.cpp, transformers: whether scores are never kept whole."),
]
Eager = Annotated[bool, typer.Option("--enforce-eager", help="No CUDA graphs.")]
Calibration = Annotated[
    Path | None, typer.Option("--calibration", help="Your own card: a file of `probe --save` or `observe --save`.")
]
SortBy = Annotated[str, typer.Option("--sort", help="price, gpus, headroom, speed, context, token-price.")]
MaxGpus = Annotated[int, typer.Option("--max-gpus", help="The most GPUs to try.")]
Prices = Annotated[Path | None, typer.Option("--prices", help="Your prices: instance → USD/h, YAML or CSV.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the Hub.")]
KvCacheBytes = Annotated[
    int | None, typer.Option("--kv-cache-memory-bytes", help="KV pool per GPU in bytes, instead of what is left.")
]
MmEncoder = Annotated[
    TowerMode, typer.Option("--mm-encoder-tp-mode", help="Vision and audio towers: split over GPUs, or whole on each.")
]
Family = Annotated[
    str | None, typer.Option("--as", metavar="FAMILY", help="Read an unknown model_type as this family.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Count `tight` as not fitting.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write there instead of to the terminal.")]
OutputFormat = Annotated[Format, typer.Option("--format", "-f", help="text, json or markdown.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Text only: the verdict, the table or the findings; no bar.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Text only: also what every number rests on.")]
