"""`moesize gpus`: the accelerators known by name."""

import json
from typing import Annotated

import typer

from moesize.cli import options as opt
from moesize.cli import output
from moesize.errors import InputError, printable
from moesize.hardware.gpu import GpuSpec, list_gpus, load_gpu
from moesize.report import gpus as report

app = typer.Typer(help="The accelerators known by name.", no_args_is_help=True)


@app.command("list")
def list_all(fmt: opt.OutputFormat = opt.Format.TEXT, output_path: opt.Output = None) -> int:
    """All accelerators, with the memory a process can use."""
    return _show([load_gpu(gpu_id) for gpu_id in list_gpus()], fmt, output_path)


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(help="Words of an id or name.", show_default=False)],
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Accelerators with all these words in their id or name."""
    wanted = [word.lower() for word in words]
    found = [gpu for gpu in map(load_gpu, list_gpus()) if all(w in f"{gpu.id} {gpu.name}".lower() for w in wanted)]
    if not found:
        raise InputError(f"no GPU has {printable(' '.join(words))!r} in its name; `moesize gpus list` shows all")
    return _show(found, fmt, output_path)


@app.command("show")
def show(
    gpu: Annotated[str, typer.Argument(help="A GPU by any of its names.", show_default=False)],
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """One accelerator: memory as the driver reports it, bandwidth, peak rates, sources."""
    spec = load_gpu(gpu)
    output.answer(fmt, output_path, text=lambda: report.one(spec), json=lambda: _json(_plain(spec)))
    return 0


def _show(gpus: list[GpuSpec], fmt: opt.Format, path: opt.Output) -> int:
    output.answer(fmt, path, text=lambda: report.many(gpus), json=lambda: _json([_plain(gpu) for gpu in gpus]))
    return 0


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _plain(gpu: GpuSpec) -> dict[str, object]:
    values = {name: getattr(gpu, name) for name in gpu.__slots__}
    values["tflops_dense"] = dict(gpu.tflops_dense)
    values["native_formats"] = sorted(gpu.native_formats)
    values["sources"] = dict(gpu.sources)
    return values
