"""Tables without lines, as all commands print them."""

from rich.table import Table


def plain_table(*headers: str) -> Table:
    """A table of these columns; a header that ends in `>` is of a column of figures, set flush right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold")
    for header in headers:
        right = header.endswith(">")
        table.add_column(header.removesuffix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table
