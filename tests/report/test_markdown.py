"""What a terminal shows, as Markdown."""

import html

import pytest
from rich.console import Group
from rich.text import Text

from moesize.report.markdown import document, escape
from moesize.report.tables import plain_table


@pytest.mark.parametrize("text", ["memory.nominal_gb", "a|b", "&#95;", "<img>", "[x](y)", "#1", "![x]", "\\*"])
def test_an_escaped_name_reads_as_it_was_and_is_no_markup(text: str) -> None:
    escaped = escape(text)
    assert html.unescape(escaped) == text
    assert not set(html.unescape(escaped)) & set("\\`*_{}[]<>|!") & set(escaped)


def test_a_report_becomes_a_heading_tables_and_paragraphs() -> None:
    table = plain_table("name", "GiB>")
    table.add_row("a|b", "1.00")
    shown = document(Group(Text("FITS  x"), Text(), table, Text("one\ntwo"), Text("run it", no_wrap=True)))
    assert shown.splitlines() == [
        *("### FITS: x", "", "| name | GiB |", "| --- | ---: |", "| a&#124;b | 1.00 |", "", "one  ", "two  ", ""),
        *("```text", "run it", "```"),
    ]
