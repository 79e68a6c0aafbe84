"""`moesize quants`: the weight formats by name."""

import json

from rich.table import Table

from moesize.cli import options as opt
from moesize.cli import output
from moesize.quant.catalogue import list_quants
from moesize.report.tables import plain_table


def quants(fmt: opt.OutputFormat = opt.Format.TEXT, output_path: opt.Output = None) -> int:
    """Weight formats: bits per weight, what stays in 16 bits, engines and GPU generations that run them."""
    output.answer(fmt, output_path, text=_table, json=_json)
    return 0


def _json() -> str:
    return json.dumps([row._asdict() for row in list_quants()], indent=2, ensure_ascii=False) + "\n"


def _table() -> Table:
    table = plain_table("name", "bits>", "stays in 16 bits", "engines", "GPUs")
    for row in list_quants():
        table.add_row(row.name, f"{row.bits:.3f}", row.left, ", ".join(row.engines), row.gpus)
    return table
