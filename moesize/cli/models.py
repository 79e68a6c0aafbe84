"""`moesize models`: the catalogue."""

import json
from typing import Annotated

import typer

from moesize.cli import explain as explain_command
from moesize.cli import options as opt
from moesize.cli import output
from moesize.errors import InputError, printable
from moesize.model import catalogue
from moesize.report import models as report

app = typer.Typer(help="The models known by name.", no_args_is_help=True)

Moe = Annotated[bool, typer.Option("--moe", help="Only Mixture-of-Experts models.")]


@app.command("list")
def list_models(moe: Moe = False, fmt: opt.OutputFormat = opt.Format.TEXT, output_path: opt.Output = None) -> int:
    """All models of the catalogue."""
    return _show(catalogue.models(), moe, fmt, output_path)


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(help="Words of a name, Hub id or family.", show_default=False)],
    moe: Moe = False,
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Models with all these words in a name, Hub id or family."""
    text = " ".join(words)
    found = catalogue.search(text)
    if not found:
        raise InputError(f"no model has {printable(text)!r} in its names; `moesize models list` shows all")
    return _show(found, moe, fmt, output_path)


app.command("show", help="What one model is made of: the same as `moesize explain`.")(explain_command.explain)


def _show(models: dict[str, dict[str, object]], moe: bool, fmt: opt.Format, path: opt.Output) -> int:  # noqa: FBT001
    shown = {name: entry for name, entry in sorted(models.items()) if entry.get("routed") or not moe}
    output.answer(fmt, path, text=lambda: report.many(shown), json=lambda: _json(shown))
    return 0


def _json(models: dict[str, dict[str, object]]) -> str:
    return json.dumps(models, indent=2, ensure_ascii=False) + "\n"
