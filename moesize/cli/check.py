"""`moesize check`: does this model, served this way, fit on these GPUs?"""

from typing import Annotated, Any

import typer

from moesize.cli import completion, output
from moesize.cli import options as opt
from moesize.engines.base import EngineOptions
from moesize.errors import InputError
from moesize.model.spec import ModelSpec
from moesize.report.detail import Detail
from moesize.results import CheckResult
from moesize.sizing import size

Gpu = Annotated[
    str | None,
    typer.Option(
        "--gpu",
        "-g",
        help="GPU, instance (g5.12xlarge), 2xA10G, or a size (24GiB); without it: the smallest that would do.",
        show_default=False,
        autocompletion=completion.gpus,
    ),
]


def check(
    model: opt.Model,
    gpu: Gpu = None,
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
    dcp: opt.Dcp = 1,
    gpu_memory_utilization: opt.Utilization = None,
    max_num_batched_tokens: opt.BatchedTokens = None,
    max_num_seqs: opt.Seqs = None,
    cpu_offload: opt.CpuOffload = 0.0,
    host_bandwidth: opt.HostBandwidth = None,
    n_gpu_layers: opt.GpuLayers = None,
    n_cpu_moe: opt.CpuMoe = None,
    flash_attention: opt.FlashAttention = None,
    enforce_eager: opt.Eager = False,
    speculative: opt.Speculative = None,
    prefix_caching: opt.PrefixCaching = None,
    max_cudagraph_capture_size: opt.CaptureSize = None,
    language_model_only: opt.LanguageOnly = False,
    flashinfer_sampler: opt.FlashinferSampler = None,
    kv_cache_memory_bytes: opt.KvCacheBytes = None,
    mm_encoder_tp_mode: opt.MmEncoder = opt.TowerMode.WEIGHTS,
    calibration: opt.Calibration = None,
    family: opt.Family = None,
    offline: opt.Offline = False,
    strict: opt.Strict = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Does this model, served this way, fit? Without --gpu: which are the smallest cards that would do?

    Exit status: 0 fits (or some card would do), 1 does not (or none would), 2 no answer.
    """
    detail = output.detail(quiet=quiet, verbose=verbose)
    settings: dict[str, Any] = {
        "gpus": gpus,
        "quant": quant,
        "context": context,
        "concurrency": concurrency,
        "kv_dtype": kv_dtype,
        "engine": engine,
        "engine_version": engine_version,
        "tp": tp,
        "pp": pp,
        "dp": dp,
        "ep": ep,
        "dcp": dcp,
        "gpu_memory_utilization": gpu_memory_utilization,
        "max_num_batched_tokens": max_num_batched_tokens,
        "max_num_seqs": max_num_seqs,
        "cpu_offload_gib": cpu_offload,
        "enforce_eager": enforce_eager,
        "speculative": speculative,
        "offline": offline,
        "family": family,
        "options": EngineOptions(
            n_gpu_layers=n_gpu_layers,
            n_cpu_moe=n_cpu_moe,
            flash_attention=flash_attention,
            kv_cache_memory_bytes=kv_cache_memory_bytes,
            prefix_caching=prefix_caching,
            max_cudagraph_capture_size=max_cudagraph_capture_size,
            language_model_only=language_model_only,
            flashinfer_sampler=flashinfer_sampler,
            mm_encoder_data_parallel=mm_encoder_tp_mode is opt.TowerMode.DATA,
        ),
    }
    asked: str | ModelSpec = model
    if "/" in model and not offline:
        from moesize.cli.choices import loaded  # noqa: PLC0415  a name of the catalogue is read at once

        asked = loaded(model, offline=offline, family=family)
    if gpu is None:
        if calibration is not None:
            raise InputError("a calibration was measured on one card; name it with --gpu")
        return _smallest(asked, settings, fmt, output_path, detail, strict=strict)
    result = size(asked, gpu, calibration=calibration, host_bandwidth=host_bandwidth, **settings)
    _show(result, fmt, output_path, detail)
    return 0 if result.verdict == "fits" or (result.verdict == "tight" and not strict) else 1


def _smallest(
    model: str | ModelSpec,
    settings: dict[str, Any],
    fmt: opt.Format,
    path: opt.Output,
    detail: Detail,
    *,
    strict: bool,
) -> int:
    """The smallest cards that would do; 0 when there are any."""
    from moesize.cli.progress import Bar  # noqa: PLC0415  a named card needs none of it
    from moesize.report import smallest as report  # noqa: PLC0415
    from moesize.smallest import smallest_gpus  # noqa: PLC0415

    with Bar("trying cards", quiet=detail is Detail.VERDICT) as progress:
        found = smallest_gpus(model, strict=strict, progress=progress, **settings)
    output.answer(fmt, path, text=lambda: report.render(found, detail), json=lambda: report.to_json(found))
    return 0 if found.rows else 1


def _show(result: CheckResult, fmt: opt.Format, path: opt.Output, detail: Detail) -> None:
    if fmt is opt.Format.JSON:
        from moesize.report.json import render as render_json  # noqa: PLC0415  one format is loaded, the one asked for

        output.write(render_json(result), path)
    elif fmt is opt.Format.MARKDOWN:
        from moesize.report.markdown import render as render_markdown  # noqa: PLC0415

        output.write(render_markdown(result), path)
    else:
        from moesize.report.text import render  # noqa: PLC0415

        output.show(render(result, detail), path)
