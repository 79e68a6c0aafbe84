"""`moesize report`: one HTML page with the charts, the comparison and the receipts."""

import sys
from typing import Annotated

import typer

from moesize.cli import options as opt
from moesize.cli import output
from moesize.cli.choices import gpu_list, loaded, names
from moesize.cli.progress import Bar
from moesize.compare import quants_for
from moesize.engines.base import EngineOptions
from moesize.errors import InputError
from moesize.hardware.instances import read_prices
from moesize.layouts import MAX_GPUS
from moesize.report.html import render
from moesize.survey import DEFAULT_CASES, LayoutWish, survey


def report(
    models: opt.Models,
    gpu: opt.GpuList = "all",
    quant: opt.QuantList = "stored",
    context: opt.Context = None,
    concurrency: opt.Concurrency = 1,
    kv_dtype: opt.KvDtype = "auto",
    engine: opt.EngineName = "vllm",
    engine_version: opt.EngineVersion = None,
    gpus: opt.Gpus = None,
    tp: opt.Tp = None,
    pp: opt.Pp = 1,
    dp: opt.Dp = 1,
    ep: opt.Ep = False,
    gpu_memory_utilization: opt.Utilization = None,
    speculative: opt.Speculative = None,
    prefix_caching: opt.PrefixCaching = None,
    language_model_only: opt.LanguageOnly = False,
    max_gpus: opt.MaxGpus = MAX_GPUS,
    sort: opt.SortBy = "price",
    charts: Annotated[int, typer.Option("--charts", help="Draw the best so many; the table has all.")] = DEFAULT_CASES,
    prices: opt.Prices = None,
    offline: opt.Offline = False,
    output_path: opt.Output = None,
) -> int:
    """One self-contained HTML page: memory, context and concurrency curves, experts, comparison, every number's source.

    Without --gpus, --tp, --pp, --dp and --ep each combination is drawn on the fewest GPUs it fits on.
    """
    if output_path is None and sys.stdout.isatty():
        raise InputError("a page is for a browser, not for a terminal; say where to write it: --output report.html")
    specs = [loaded(model, offline=offline) for model in models]
    with Bar("comparing") as progress:
        found = survey(
            specs,
            gpu_list(gpu),
            quants_for(specs, names(quant)),
            wish=LayoutWish(gpus, tp, pp, dp, ep),
            context=context,
            concurrency=concurrency,
            kv_dtype=kv_dtype,
            engine=engine,
            engine_version=engine_version,
            max_gpus=max_gpus,
            prices=read_prices(prices) if prices else None,
            sort=sort,
            options=EngineOptions(
                gpu_memory_utilization=gpu_memory_utilization,
                prefix_caching=prefix_caching,
                language_model_only=language_model_only,
            ),
            speculative=speculative,
            offline=offline,
            most_cases=charts,
            progress=progress,
        )
    output.write(render(found), output_path)
    return 0 if any(case.result.verdict == "fits" for case in found.cases) else 1
