"""`moesize observe`: reads a server's start-up log and holds the prediction against it."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from moesize.cli import options as opt
from moesize.cli import output
from moesize.errors import InputError
from moesize.observe.compare import compare
from moesize.observe.observation import Observation
from moesize.observe.question import Asked, answer_log
from moesize.observe.read import lines_of, read_log

_NO_SOURCE = "state where the log can be read: a URL"


def observe(
    log: Annotated[Path, typer.Argument(metavar="LOG|-", help="A start-up log of vLLM or SGLang.", show_default=False)],
    model: Annotated[str | None, typer.Option("--model", help="Where the log's own name is not enough.")] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", "-g", help="The card; most logs do not name it.")] = None,
    quant: opt.Quant = None,
    engine_version: opt.EngineVersion = None,
    as_row: Annotated[bool, typer.Option("--as-row", help="Print a row for validation/data.")] = False,
    source: Annotated[str, typer.Option("--source", help="URL of the log, for --as-row.")] = _NO_SOURCE,
    save: Annotated[Path | None, typer.Option("--save", help="Write a file for `check --calibration`.")] = None,
    offline: opt.Offline = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Read model, layout and memory off a log, and show prediction beside measurement."""
    detail = output.detail(quiet=quiet, verbose=verbose)
    seen = _read(log)
    asked = Asked(model=model, gpu=gpu, quant=quant, engine_version=engine_version, offline=offline)
    if save is not None:
        from moesize.observe.save import calibration_text  # noqa: PLC0415  only --save needs it

        output.write(calibration_text(seen, answer_log(seen, asked), f"{datetime.now(tz=UTC):%Y-%m-%d}"), save)
    if as_row:
        from moesize.observe.row import row_yaml  # noqa: PLC0415  only --as-row needs it

        output.write(row_yaml(seen, answer_log(seen, asked), source), output_path)
        return 0
    from moesize.report import observe as report  # noqa: PLC0415  drawn last, and not for a row

    result = compare(seen, asked)
    output.answer(fmt, output_path, text=lambda: report.render(result, detail), json=lambda: report.to_json(result))
    return 0


def _read(log: Path) -> Observation:
    if str(log) == "-":
        return read_log(lines_of(sys.stdin.buffer))
    try:
        with log.open("rb") as stream:
            return read_log(lines_of(stream))
    except OSError as error:
        raise InputError(f"cannot read {log}: {error.strerror or error}") from None
