"""`moesize model add`: a spec file from the Hub."""

from pathlib import Path
from typing import Annotated

import typer

from moesize.cli import output
from moesize.cli.progress import Bar
from moesize.data import data_dir
from moesize.errors import printable

app = typer.Typer(help="Add a model to the catalogue.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Add a model to the catalogue."""


@app.command()
def add(
    reference: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Hub id, with @revision if you like.")],
    folder: Annotated[Path | None, typer.Option("--folder", help="Where to write; default: the catalogue.")] = None,
    family: Annotated[str | None, typer.Option("--as", help="Read it as this family.", metavar="FAMILY")] = None,
) -> int:
    """Write a spec file with the architecture keys of a model on the Hub, its revision and where it came from."""
    from moesize.model.adding import add_model  # noqa: PLC0415  the network's modules are heavy

    with Bar(f"reading {printable(reference)}"):
        path = add_model(reference, folder or data_dir("model_specs"), family=family)
    output.write(f"wrote {path}\n", None)
    return 0
