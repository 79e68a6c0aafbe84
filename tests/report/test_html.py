"""The page, read by a parser that is not its writer: figures, structure, escaping, accessibility, and what it loads."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from moesize import check, load_gpu, load_model
from moesize.data import data_dir
from moesize.explain import explain
from moesize.report.html import page as page_module
from moesize.report.html import render
from moesize.report.html.markup import sources, tag, text
from moesize.survey import LayoutWish, Survey, survey
from moesize.units import GIB

VOID = {"meta", "link", "br"}
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; onload=alert(1) x='",
    "</style></script></title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "a&lt;b&amp;c",
    "]]><!--",
    "name\x00with\x1b[31mcontrol\x07",
    "right\u202eto\u2066left",
    "lone\ud800surrogate",
    "{{7*7}} ${7*7} %s {0}",
]


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None]
    children: list["Node | str"] = field(default_factory=list)

    def all(self, name: str | None = None) -> Iterator["Node"]:
        for child in self.children:
            if isinstance(child, Node):
                if name in (None, child.tag):
                    yield child
                yield from child.all(name)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def classes(self) -> list[str]:
        return (self.attributes.get("class") or "").split()


class Reader(HTMLParser):
    """Builds a tree and refuses what browsers would silently repair."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("document", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {tag} {attrs}"
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(html: str) -> Node:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


@cache
def surveyed() -> Survey:
    return survey(
        [load_model("mixtral-8x7b"), load_model("llama-3.1-8b")],
        [load_gpu("A10G"), load_gpu("A100-80GB")],
        [None, "gptq-4bit"],
        wish=LayoutWish(gpus=1),
        concurrency=2,
    )


@cache
def page() -> str:
    return render(surveyed())


@cache
def tree() -> Node:
    return read(page())


def section(name: str) -> Node:
    return next(node for node in tree().all("section") if node.attributes.get("id") == name)


def svgs(html: str) -> list[ET.Element]:
    """Every outermost SVG, by an XML parser."""
    found, start, depth = [], 0, 0
    for match in re.finditer(r"<svg\b|</svg>", html):
        if match.group() == "</svg>":
            depth -= 1
            if depth == 0:
                found.append(ET.fromstring(html[start : match.end()]))
        else:
            start = start if depth else match.start()
            depth += 1
    return found


def test_structure() -> None:
    root = tree()
    assert page().startswith('<!doctype html>\n<html lang="en">')
    assert [node.text for node in root.all("h1")] == ["Memory of mixtral-8x7b and llama-3.1-8b"]
    headings = [node.text for node in root.all("h2")]
    assert headings == [
        "Memory of one GPU",
        "Context and concurrency",
        "Parameters, total and active",
        "Experts touched by a batch",
        "Comparison",
        "Where the numbers are from",
    ]
    jumps = [node for nav in root.all("nav") for node in nav.all("a")]
    assert [node.text for node in jumps] == headings
    assert len(surveyed().cases) == 8
    assert len(list(section("growth").all("figure"))) == 3 * 8
    assert len(list(section("memory").all("svg"))) == 8 + 6 + 1  # bars, samples of the legends, ruler
    assert "2 × 8,192 tokens (default), served by vllm" in next(root.all("header")).text
    assert render(surveyed()) == page()


def test_the_bars_are_what_check_answers() -> None:
    bars = next(node for node in section("memory").all("ul") if "bars" in node.classes)
    rows = [row for row in bars.children if isinstance(row, Node)]
    assert len(rows) == 8
    for case, row in zip(surveyed().cases, rows, strict=True):
        quant, gpu = case.result.quant.name, case.gpu
        per_gpu = check(case.result.model.name, gpu, gpus=1, quant=quant, concurrency=2).per_gpu
        shown = row.text
        for n_bytes in (per_gpu.weights_bytes, per_gpu.kv_cache_bytes, per_gpu.activation_bytes, per_gpu.runtime_bytes):
            assert f" {n_bytes / GIB:.2f}" in shown
        assert f"= {per_gpu.total_bytes / GIB:.2f} of {per_gpu.budget_bytes / GIB:.2f} GiB" in shown
        rects = list(row.all("rect"))
        assert [node.classes for node in rects] == [["weights"], ["kv-cache"], ["activation"], ["runtime"]]
        ends = [percent(node, "x") + percent(node, "width") for node in rects]
        limit = next(percent(node, "x1") for node in row.all("line") if node.classes == ["limit"])
        assert ends[-1] / limit == pytest.approx(per_gpu.total_bytes / per_gpu.budget_bytes, rel=1e-3)
        assert [percent(node, "x") for node in rects[1:]] == pytest.approx(ends[:-1], abs=0.01)


def percent(node: Node, name: str) -> float:
    return float((node.attributes[name] or "").removesuffix("%"))


def test_the_curves_cross_the_budget_where_the_figures_do() -> None:
    """Heights on the chart against the bytes of the points."""
    charts = {next(iter(one)).get("id"): one for one in svgs(page()) if one.get("class") == "chart"}
    for index, case in enumerate(surveyed().cases):
        for name, lines in (("context", case.curves.by_context), ("concurrency", case.curves.by_concurrency)):
            chart = charts[f"{name}-{index}-title"]
            (plot,) = chart.findall(f"{SVG}svg")
            top, height = float(plot.get("y", "")), float(plot.get("height", ""))
            limit = next(float(e.get("y1", "")) for e in chart.iter(f"{SVG}line") if e.get("class") == "limit")
            per_pixel = case.curves.budget_bytes / (top + height - limit)
            drawn = list(plot.iter(f"{SVG}polyline"))
            for line, polyline in zip(lines, drawn, strict=True):
                heights = [height - float(point.split(",")[1]) for point in polyline.get("points", "").split()]
                expected = [point.total_bytes / per_pixel for point in line.points]
                assert heights == pytest.approx(expected, abs=0.06, rel=1e-3)
            (asked,) = chart.findall(f"{SVG}circle")
            here = (top + height - float(asked.get("cy", ""))) * per_pixel
            assert here == pytest.approx(case.result.per_gpu.total_bytes, rel=1e-3)


def test_the_tables_under_the_charts_hold_the_points() -> None:
    for case, block in zip(surveyed().cases, section("growth").all("section"), strict=True):
        context, concurrency, longest = block.all("table")
        for line_index, line in enumerate(case.curves.by_context):
            shown = [row[line_index + 1] for row in cells(context)]
            assert [one.split(" ")[0] for one in shown] == [f"{p.total_bytes / GIB:.2f}" for p in line.points]
        assert len(cells(concurrency)) == len(case.curves.by_concurrency[0].points)
        wanted = [
            [f"{n:,}" if n else "–" for n in (o.concurrency, o.fits_tokens, o.not_oom_tokens)]
            for o in case.curves.longest
        ]
        assert cells(longest) == wanted


def cells(table: Node) -> list[list[str]]:
    body = next(table.all("tbody"))
    return [[n.text for n in row.children if isinstance(n, Node)] for row in body.children if isinstance(row, Node)]


def test_the_comparison_has_every_row_and_what_it_sorts_by() -> None:
    table = next(section("comparison").all("table"))
    assert "sortable" in table.classes
    rows = surveyed().comparison.rows
    body = next(table.all("tbody"))
    shown = [[n for n in row.children if isinstance(n, Node)] for row in body.children if isinstance(row, Node)]
    headers = [node.text for node in next(table.all("thead")).all("th")]
    free = headers.index("free GiB")
    assert [(r[0].text, r[1].text, r[2].text, int(r[3].text)) for r in shown] == [
        (r.model, r.quant, r.gpu, r.gpus) for r in rows
    ]
    assert [int(r[free].attributes["data-sort"] or "") for r in shown] == [r.headroom_bytes for r in rows]
    for row, cells_ in zip(rows, shown, strict=True):
        assert cells_[headers.index("$/h")].attributes["data-sort"] == (
            "" if row.usd_per_hour is None else repr(row.usd_per_hour)
        )


def test_parameters_and_experts_are_those_of_explain() -> None:
    known = explain(load_model("mixtral-8x7b"))
    shown = section("parameters").text
    assert f"{known.params.total:,}" in shown
    assert f"{known.params.active:,}" in shown
    table = next(section("experts").all("table"))
    assert cells(table) == [[f"{t.batch}", f"{t.balanced:.2f}", f"{t.skewed:.2f}"] for t in known.experts_touched]
    assert len(list(section("experts").all("figure"))) == 1  # a dense model has none


def test_receipts_hold_every_term_with_its_source() -> None:
    receipts = section("provenance").all("section")
    for case, receipt in zip(surveyed().cases, receipts, strict=True):
        rows = cells(next(receipt.all("table")))
        terms = case.result.terms
        assert [int(row[2].replace(",", "")) for row in rows] == [term.bytes for term in terms]
        inside = sum(int(row[2].replace(",", "")) for row in rows if "outside" not in row[4])
        assert inside == case.result.per_gpu.total_bytes
        assert [row[5:] for row in rows] == [[term.formula, term.source] for term in terms]
    linked = {node.attributes["href"] for node in section("provenance").all("a")}
    assert {
        url for case in surveyed().cases for url in case.gpu.sources.values() if url.startswith("https://")
    } <= linked


def test_every_svg_is_well_formed_and_described() -> None:
    found = svgs(page())
    assert len(found) > 50
    for one in found:
        assert one.tag == f"{SVG}svg"
        if one.get("aria-hidden") == "true":
            continue
        assert one.get("role") == "img"
        names = (one.get("aria-labelledby") or "").split()
        assert [one.find(f"{SVG}title").get("id"), one.find(f"{SVG}desc").get("id")] == names  # type: ignore[union-attr]
        assert all(one.findtext(f"{SVG}{part}") for part in ("title", "desc"))


def test_it_can_be_read_without_seeing_or_pointing() -> None:
    root = tree()
    ids = [node.attributes["id"] for node in root.all() if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    for node in root.all():
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((node.attributes.get(name) or "").split()) <= set(ids)
        href = node.attributes.get("href") or ""
        if href.startswith("#"):
            assert href[1:] in ids
        if node.tag == "th":
            assert node.attributes.get("scope") in ("col", "row")
        if node.tag == "table":
            assert next(node.all("caption")).text
        if "scroll" in node.classes:
            assert (node.attributes["tabindex"], node.attributes["role"]) == ("0", "region")
            assert node.attributes["aria-label"]
    levels = [int(node.tag[1]) for node in root.all() if node.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))


@pytest.mark.parametrize("dark", [False, True])
def test_contrast(dark: bool) -> None:
    """WCAG 2: 4.5 for text, 3 for what is drawn, on the page and on the cards of the charts."""
    css = Path(page_module.__file__).with_name("page.css").read_text(encoding="utf-8")
    light_css, dark_css = css.split("@media screen and (prefers-color-scheme: dark)")
    pattern = re.compile(r"--([\w-]+): #([0-9a-f]{6});")
    colours = dict(pattern.findall(light_css)) | (dict(pattern.findall(dark_css)) if dark else {})
    assert set(dict(pattern.findall(light_css))) == set(dict(pattern.findall(dark_css)))
    for ground in ("page", "card"):
        for name, colour in colours.items():
            least = {"text": 4.5, "quiet": 4.5, "link": 4.5, "good": 4.5, "warn": 4.5, "bad": 4.5}.get(name, 3.0)
            if name not in ("page", "card", "rule"):
                assert contrast(colour, colours[ground]) >= least, (name, ground)


def contrast(one: str, other: str) -> float:
    first, second = sorted((luminance(one), luminance(other)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_loads_nothing_and_runs_only_its_own_script() -> None:
    check_closed(page())


def check_closed(html: str) -> None:
    root = read(html)
    for node in root.all():
        assert not [
            name for name in node.attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")
        ]
        assert node.tag not in ("iframe", "object", "embed", "img", "form", "base", "image", "use", "foreignobject")
        href = node.attributes.get("href")
        if node.tag == "a":
            assert href
            assert href.startswith(("https://", "http://", "#"))
            assert href.startswith("#") or node.attributes["rel"] == "noreferrer noopener"
        elif href is not None:
            assert (node.tag, href) == ("link", "data:,")
    (style,), (script,) = list(root.all("style")), list(root.all("script"))
    assert "url(" not in style.text
    assert "@import" not in style.text
    policy = next(
        n.attributes["content"] for n in root.all("meta") if n.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest(style.text)}'",
        "script-src": f"'sha256-{digest(script.text)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def digest(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def page_named(name: str) -> str:
    """A page on which everything that comes from files is called `name`."""
    spec = replace(load_model("mixtral-8x7b"), name=name, source=name, notes=(name,))
    gpu = replace(load_gpu("A100-80GB"), name=f"card {name}", sources={name: name})
    return render(survey([spec], [gpu], ["gptq-4bit"]))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_whatever_they_say(name: str) -> None:
    html = page_named(name)
    check_closed(html)
    assert len(svgs(html)) == len(svgs(page_named("harmless")))
    root = read(html)
    clean = "".join(c if c.isprintable() else "\ufffd" for c in name)
    assert next(root.all("h1")).text == f"Memory of {clean}"
    assert [node.tag for node in root.all()] == [node.tag for node in read(page_named("harmless")).all()]
    html.encode("utf-8")


def test_markup() -> None:
    assert tag("p", "a<b", class_='"x"') == '<p class="&quot;x&quot;">a&lt;b</p>'
    assert (
        tag("p", tag("b", "x"), None, ["y", [1]], hidden=True, id=None, data_x=False)
        == '<p hidden="hidden"><b>x</b>y1</p>'
    )
    assert text(tag("b", "&")) == "<b>&amp;</b>"
    shown = sources("from <https://example.org/a?b=1&c=2>, then javascript:alert(1).")
    assert re.findall(r'href="([^"]*)"', shown) == ["https://example.org/a?b=1&amp;c=2"]
    assert read(shown).text == "from <https://example.org/a?b=1&c=2>, then javascript:alert(1)."


def test_a_model_whose_caches_nobody_discloses_has_its_weights_shown() -> None:
    found = survey([load_model("gpt-4")], [load_gpu("H200")], ["fp8"], wish=LayoutWish(tp=8))
    html = render(found)
    check_closed(html)
    assert "What the caches of this model take is not known" in html


@pytest.mark.parametrize("path", sorted(data_dir("model_specs").glob("*.yaml"))[::40], ids=lambda p: p.stem)
def test_any_model_of_the_catalogue_has_a_page(path: Path) -> None:
    html = render(survey([load_model(path.stem)], [load_gpu("H200")], [None], concurrency=3))
    check_closed(html)
    svgs(html)
