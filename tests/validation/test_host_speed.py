"""No public measurement is faster than the bound, and the bound is not far above them all."""

from pathlib import Path

from validation.host_speed import bounded, summary

_PAGE = Path(__file__).parents[2] / "docs" / "numbers" / "speed.md"


def test_nothing_measured_is_faster_than_its_bound() -> None:
    rows = bounded()
    assert len(rows) >= 20
    assert [f"{one.row.id}: {one.ratio:.2f}" for one in rows if one.ratio > 1] == []


def test_half_of_the_runs_reach_two_fifths_of_the_bound() -> None:
    _, least, middle, _ = summary(bounded())["decoding"]
    assert middle >= 0.4
    assert least >= 0.2


def test_the_page_shows_what_was_found() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    assert f"{len(bounded())} public runs" in page
    for what, (count, least, middle, most) in summary(bounded()).items():
        line = next(x for x in page.splitlines() if x.startswith(f"    measured ÷ bound    {what}"))
        assert line.split(what)[1].split() == (f"{count} runs {least:.2f} to {most:.2f}, median {middle:.2f}".split())
