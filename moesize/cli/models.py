"""`moesize models`: the catalogue."""

import json
from typing import Annotated

import typer

from moesize.cli import explain as explain_command
from moesize.cli import options as opt
from moesize.cli import output
from moesize.errors import InputError
from moesize.model import catalogue
from moesize.report.figures import parameters
from moesize.report.tables import plain_table

app = typer.Typer(help="The models known by name.", no_args_is_help=True)

Moe = Annotated[bool, typer.Option("--moe", help="Only Mixture-of-Experts models.")]


@app.command("list")
def list_models(moe: Moe = False, fmt: opt.TextOrJson = opt.TextJson.TEXT) -> int:
    """All models of the catalogue."""
    return _show(catalogue.models(), moe, fmt)


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(help="Words of a name, Hub id or family.", show_default=False)],
    moe: Moe = False,
    fmt: opt.TextOrJson = opt.TextJson.TEXT,
) -> int:
    """Models with all these words in a name, Hub id or family."""
    text = " ".join(words)
    found = catalogue.search(text)
    if not found:
        raise InputError(f"no model has {text!r} in its names; `moesize models list` shows all")
    return _show(found, moe, fmt)


app.command("show", help="What one model is made of: the same as `moesize explain`.")(explain_command.explain)


def _show(models: dict[str, dict[str, object]], moe: bool, fmt: opt.TextJson) -> int:  # noqa: FBT001
    shown = {name: entry for name, entry in sorted(models.items()) if entry.get("routed") or not moe}
    if fmt is opt.TextJson.JSON:
        output.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", None)
        return 0
    table = plain_table("name", "total>", "active>", "experts>", "stored as", "context>")
    for name, entry in shown.items():
        table.add_row(
            name,
            _count(entry.get("total")),
            _count(entry.get("active")),
            f"{entry['routed']}, {entry['per_token']}" if entry.get("routed") else "–",
            str(entry.get("quant") or entry.get("dtype") or "undisclosed"),
            f"{entry['context']:,}" if entry.get("context") else "–",
        )
    output.show(table, None)
    output.write(f"{len(shown)} models; experts are routed, per token\n", None)
    return 0


def _count(value: object) -> str:
    return parameters(value) if isinstance(value, int) and value else "–"
