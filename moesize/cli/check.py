"""`moesize check`: does this model, served this way, fit on these GPUs?"""

from typing import Annotated

import typer

from moesize.cli import completion, output
from moesize.cli import options as opt
from moesize.engines.base import EngineOptions
from moesize.results import CheckResult
from moesize.sizing import size

Gpu = Annotated[
    str,
    typer.Option(
        "--gpu",
        "-g",
        help="GPU, instance (g5.12xlarge), 2xA10G, or a size (24GiB).",
        show_default=False,
        autocompletion=completion.gpus,
    ),
]


def check(
    model: opt.Model,
    gpu: Gpu,
    gpus: opt.Gpus = None,
    quant: opt.Quant = None,
    context: opt.Context = None,
    concurrency: opt.Concurrency = 1,
    kv_dtype: opt.KvDtype = "auto",
    engine: opt.EngineName = "vllm",
    engine_version: opt.EngineVersion = None,
    tp: opt.Tp = None,
    pp: opt.Pp = 1,
    dp: opt.Dp = 1,
    ep: opt.Ep = False,
    gpu_memory_utilization: opt.Utilization = None,
    max_num_batched_tokens: opt.BatchedTokens = None,
    max_num_seqs: opt.Seqs = None,
    cpu_offload: opt.CpuOffload = 0.0,
    host_bandwidth: opt.HostBandwidth = None,
    n_gpu_layers: opt.GpuLayers = None,
    n_cpu_moe: opt.CpuMoe = None,
    flash_attention: opt.FlashAttention = None,
    enforce_eager: opt.Eager = False,
    kv_cache_memory_bytes: opt.KvCacheBytes = None,
    mm_encoder_tp_mode: opt.MmEncoder = opt.TowerMode.WEIGHTS,
    calibration: opt.Calibration = None,
    family: opt.Family = None,
    offline: opt.Offline = False,
    strict: opt.Strict = False,
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Does this model, served this way, fit? Exit status: 0 fits, 1 does not, 2 no answer."""
    result = size(
        model,
        gpu,
        gpus=gpus,
        quant=quant,
        context=context,
        concurrency=concurrency,
        kv_dtype=kv_dtype,
        engine=engine,
        engine_version=engine_version,
        tp=tp,
        pp=pp,
        dp=dp,
        ep=ep,
        gpu_memory_utilization=gpu_memory_utilization,
        max_num_batched_tokens=max_num_batched_tokens,
        max_num_seqs=max_num_seqs,
        cpu_offload_gib=cpu_offload,
        host_bandwidth=host_bandwidth,
        enforce_eager=enforce_eager,
        offline=offline,
        calibration=calibration,
        family=family,
        options=EngineOptions(
            n_gpu_layers=n_gpu_layers,
            n_cpu_moe=n_cpu_moe,
            flash_attention=flash_attention,
            kv_cache_memory_bytes=kv_cache_memory_bytes,
            mm_encoder_data_parallel=mm_encoder_tp_mode is opt.TowerMode.DATA,
        ),
    )
    _show(result, fmt, output_path)
    return 0 if result.verdict == "fits" or (result.verdict == "tight" and not strict) else 1


def _show(result: CheckResult, fmt: opt.Format, path: opt.Output) -> None:
    if fmt is opt.Format.JSON:
        from moesize.report.json import render as render_json  # noqa: PLC0415  one format is loaded, the one asked for

        output.write(render_json(result), path)
    elif fmt is opt.Format.MARKDOWN:
        from moesize.report.markdown import render as render_markdown  # noqa: PLC0415

        output.write(render_markdown(result), path)
    else:
        from moesize.report.text import render  # noqa: PLC0415

        output.show(render(result), path)
