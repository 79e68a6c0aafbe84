"""`moesize compare`: GPU options side by side."""

from enum import StrEnum
from typing import Annotated

import typer

from moesize.cli import options as opt
from moesize.cli import output
from moesize.cli.choices import gpu_list, loaded, names
from moesize.cli.progress import Bar
from moesize.compare import compare as run_compare
from moesize.compare import quants_for
from moesize.engines.base import EngineOptions
from moesize.hardware.instances import read_prices
from moesize.layouts import MAX_GPUS
from moesize.report import compare as report

WIDE_COLUMNS = 110


class CompareFormat(StrEnum):
    """How the table is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    CSV = "csv"


AsTable = Annotated[CompareFormat, typer.Option("--format", "-f", help="text, json, markdown or csv.")]


def compare(
    models: opt.Models,
    gpu: opt.GpuList = "all",
    quant: opt.QuantList = "stored",
    context: opt.Context = None,
    concurrency: opt.Concurrency = 1,
    kv_dtype: opt.KvDtype = "auto",
    engine: opt.EngineName = "vllm",
    engine_version: opt.EngineVersion = None,
    gpu_memory_utilization: opt.Utilization = None,
    speculative: opt.Speculative = None,
    prefix_caching: opt.PrefixCaching = None,
    language_model_only: opt.LanguageOnly = False,
    max_gpus: opt.MaxGpus = MAX_GPUS,
    sort: opt.SortBy = "price",
    limit: Annotated[int | None, typer.Option("--limit", help="Show only the best rows.")] = None,
    prices: opt.Prices = None,
    offline: opt.Offline = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    fmt: AsTable = CompareFormat.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Models × GPUs × quantisations, each on the fewest GPUs it fits on, best first."""
    detail = output.detail(quiet=quiet, verbose=verbose)
    specs = [loaded(model, offline=offline) for model in models]
    with Bar("comparing", quiet=quiet) as progress:
        comparison = run_compare(
            specs,
            gpu_list(gpu),
            quants_for(specs, names(quant)),
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
            progress=progress,
        )
    if limit is not None:
        del comparison.rows[max(0, limit) :]
    writers = {
        CompareFormat.JSON: report.to_json,
        CompareFormat.CSV: report.to_csv,
        CompareFormat.MARKDOWN: report.to_markdown,
    }
    if fmt in writers:
        output.write(writers[fmt](comparison), output_path)
    else:
        wide = output.console().width >= WIDE_COLUMNS
        output.show(report.render(comparison, wide=wide, detail=detail), output_path)
    return 0 if any(row.verdict == "fits" for row in comparison.rows) else 1
