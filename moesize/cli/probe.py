"""`moesize probe`: measures real allocation and holds the prediction against it."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from moesize.cli import options as opt
from moesize.cli import output
from moesize.cli.progress import Bar
from moesize.engines.base import EngineOptions
from moesize.errors import InputError
from moesize.model.loader import load_model
from moesize.probe.card_file import card_yaml
from moesize.probe.host import host_facts
from moesize.probe.open import open_device, visible_devices
from moesize.probe.plan import blank_result, known_card, make_plan
from moesize.probe.results import ProbeResult
from moesize.probe.run import refuse_if_busy, run
from moesize.probe.save import calibration_text, refuse_without_constants
from moesize.report.detail import Detail
from moesize.units import GIB

_INTERRUPTED = 130


class DeviceKind(StrEnum):
    """Where tensors are allocated."""

    CUDA = "cuda"
    CPU = "cpu"


Model = Annotated[str | None, typer.Argument(metavar="MODEL", help="As for `check`.", show_default=False)]
Tp = Annotated[int, typer.Option("--tp", "--tensor-parallel-size", help="Tensor parallel size; one rank is allocated.")]


def probe(
    model: Model = None,
    device: Annotated[DeviceKind, typer.Option("--device", help="cuda (or ROCm), or host memory.")] = DeviceKind.CUDA,
    gpu_index: Annotated[int, typer.Option("--gpu-index", help="Which visible device.")] = 0,
    quant: opt.Quant = None,
    tp: Tp = 1,
    rank: Annotated[int, typer.Option("--rank", help="Which of the --tp ranks.")] = 0,
    layers: Annotated[
        int | None, typer.Option("--layers", help="Allocate N layers of each kind and extrapolate.")
    ] = None,
    context: opt.Context = None,
    concurrency: opt.Concurrency = 1,
    kv_dtype: opt.KvDtype = "auto",
    gpu_memory_utilization: opt.Utilization = None,
    max_num_batched_tokens: opt.BatchedTokens = None,
    max_num_seqs: opt.Seqs = None,
    reserve: Annotated[float, typer.Option("--reserve", help="GiB of the device that stay free.")] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Measure beside other users of the card.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; allocate nothing.")] = False,
    gpu_info: Annotated[bool, typer.Option("--gpu-info", help="Facts of every device as gpu_specs YAML.")] = False,
    save: Annotated[Path | None, typer.Option("--save", help="Write a file for `check --calibration`.")] = None,
    offline: opt.Offline = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Allocate what a rank would hold, run a forward pass, and show prediction beside measurement.

    Exit status: 0 measured and fits, 1 does not fit or stopped, 2 no answer.
    """
    detail = output.detail(quiet=quiet, verbose=verbose)
    if gpu_info:
        today = datetime.now(tz=UTC).date()
        cards = [card_yaml(facts, known_card(facts), today) for facts in visible_devices()]
        output.write("---\n".join(cards), output_path)
        return 0
    if model is None:
        raise InputError("name a model to probe, or --gpu-info")
    if not 0 <= reserve < float("inf"):
        raise InputError(f"--reserve is {reserve}; it is an amount of GiB, not negative")
    spec = load_model(model, offline=offline)
    opened = None if dry_run else open_device(device.value, gpu_index)
    plan = make_plan(
        spec,
        opened.facts if opened else host_facts(),
        quant=quant,
        tp=tp,
        rank=rank,
        layers=layers,
        context=context,
        concurrency=concurrency,
        kv_dtype=kv_dtype,
        options=EngineOptions(
            gpu_memory_utilization=gpu_memory_utilization,
            max_num_batched_tokens=max_num_batched_tokens,
            max_num_seqs=max_num_seqs,
        ),
    )
    if opened is None:
        result = blank_result(plan, host_facts(), "planned")
    else:
        if save is not None:
            refuse_without_constants(opened.facts)
        if not force:
            refuse_if_busy(opened)
        with Bar(plan.spec.name, quiet=quiet) as progress:
            result = run(plan, opened, reserve_bytes=round(reserve * GIB), progress=progress)
    _show(result, fmt, output_path, detail)
    if save is not None and opened is not None:
        output.write(calibration_text(result, f"{datetime.now(tz=UTC):%Y-%m-%d}"), save)
    return _status(result)


def _status(result: ProbeResult) -> int:
    if result.outcome == "interrupted":
        return _INTERRUPTED
    return 0 if result.outcome == "planned" or result.comparison.measured == "fits" else 1


def _show(result: ProbeResult, fmt: opt.Format, path: Path | None, detail: Detail) -> None:
    from moesize.report import probe as report  # noqa: PLC0415  drawn after the measurement, beside nothing else

    output.answer(fmt, path, text=lambda: report.render(result, detail), json=lambda: report.to_json(result))
