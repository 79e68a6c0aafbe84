"""`moesize plan`: the cheapest, smallest and fastest layouts that hold a workload."""

from typing import Annotated

import typer

from moesize.cli import options as opt
from moesize.cli import output
from moesize.cli.choices import gpu_list, loaded, names
from moesize.cli.progress import Bar
from moesize.compare import quants_for
from moesize.engines.base import EngineOptions
from moesize.hardware.instances import read_prices
from moesize.layouts import MAX_GPUS
from moesize.plan import Limits
from moesize.plan import plan as run_plan
from moesize.report import plan as report


def plan(
    model: opt.Model,
    context: opt.Context = None,
    concurrency: opt.Concurrency = 1,
    gpu: opt.GpuList = "all",
    quant: opt.QuantList = "stored",
    max_price: Annotated[float | None, typer.Option("--max-price", help="USD per hour, at most.")] = None,
    min_speed: Annotated[
        float | None, typer.Option("--min-tokens-per-second", help="Decoding bound per sequence, at least.")
    ] = None,
    max_gpus: Annotated[int, typer.Option("--max-gpus", help="The most GPUs to use.")] = MAX_GPUS,
    kv_dtype: opt.KvDtype = "auto",
    engine: opt.EngineName = "vllm",
    engine_version: opt.EngineVersion = None,
    gpu_memory_utilization: opt.Utilization = None,
    speculative: opt.Speculative = None,
    prefix_caching: opt.PrefixCaching = None,
    language_model_only: opt.LanguageOnly = False,
    prices: opt.Prices = None,
    offline: opt.Offline = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Layouts that hold the workload: the Pareto front of price, GPUs and speed, with the commands that start them."""
    detail = output.detail(quiet=quiet, verbose=verbose)
    spec = loaded(model, offline=offline)
    with Bar("laying out", quiet=quiet) as progress:
        result = run_plan(
            spec,
            gpu_list(gpu),
            context=context,
            concurrency=concurrency,
            quants=quants_for([spec], names(quant)),
            kv_dtype=kv_dtype,
            engine=engine,
            engine_version=engine_version,
            limits=Limits(max_price, min_speed, max_gpus),
            prices=read_prices(prices) if prices else None,
            options=EngineOptions(
                gpu_memory_utilization=gpu_memory_utilization,
                prefix_caching=prefix_caching,
                language_model_only=language_model_only,
            ),
            speculative=speculative,
            offline=offline,
            progress=progress,
        )
    output.answer(fmt, output_path, text=lambda: report.render(result, detail), json=lambda: report.to_json(result))
    return 0
