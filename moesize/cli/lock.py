"""`moesize lock`: keep the specs of models the catalogue has not, for gates without a network."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from moesize.cli.progress import Bar
from moesize.errors import InputError
from moesize.gate.locked import LOCK_FOLDER, lock_models
from moesize.gate.lookup import HUB_ID
from moesize.gate.read import read_deployments


def lock(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Files and folders with deployments.", show_default=False)
    ],
    folder: Annotated[Path, typer.Option("--folder", help="Where the specs go; commit it.")] = LOCK_FOLDER,
) -> int:
    """Write the specs the gate needs offline. Exit status: 0 all known, 2 some could not be read."""
    read = read_deployments(paths, root=Path.cwd())
    names: dict[str, None] = {}
    for deployment in read.deployments:
        first = next((c.value for c in deployment.model_candidates if HUB_ID.fullmatch(c.value)), None)
        if first is not None:
            names[first] = None
    if not names:
        raise InputError(f"none of {read.files_read} files names a model of the Hub")
    with Bar(f"asking the Hub for {len(names)} models"):
        done = lock_models(sorted(names), folder)
    for one in done:
        sys.stdout.write(f"{one.model}: {one.path or one.why}\n")
    return 2 if any(one.failed for one in done) else 0
