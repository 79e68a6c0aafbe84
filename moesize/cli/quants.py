"""`moesize quants`: the weight formats by name."""

import json

from moesize.cli import options as opt
from moesize.cli import output
from moesize.quant.catalogue import list_quants
from moesize.report.tables import plain_table


def quants(fmt: opt.TextOrJson = opt.TextJson.TEXT) -> int:
    """Weight formats: bits per weight, what stays in 16 bits, engines and GPU generations that run them."""
    rows = list_quants()
    if fmt is opt.TextJson.JSON:
        output.write(json.dumps([row._asdict() for row in rows], indent=2, ensure_ascii=False) + "\n", None)
        return 0
    table = plain_table("name", "bits>", "stays in 16 bits", "engines", "GPUs")
    for row in rows:
        table.add_row(row.name, f"{row.bits:.3f}", row.left, ", ".join(row.engines), row.gpus)
    output.show(table, None)
    return 0
