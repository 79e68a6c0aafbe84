"""The whole page: head with its security policy, sections, and the style and script it carries."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from moesize import __version__
from moesize.report.html.comparison import bounds_and_prices, comparison_table
from moesize.report.html.growth import growth
from moesize.report.html.markup import Child, Markup, tag
from moesize.report.html.memory import bars
from moesize.report.html.models import parameter_bars, touched
from moesize.report.html.parts import plain
from moesize.report.html.provenance import receipts
from moesize.survey import Survey

_HERE = Path(__file__).parent


def render(survey: Survey) -> str:
    """The page as one HTML file that loads nothing."""
    style, script = (Markup((_HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    title = f"Memory of {_listed([model.name for model in survey.models])}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"moesize {__version__}"),
        tag("title", f"{title} – moesize"),
        tag("link", rel="icon", href="data:,"),
        tag("style", style),
    )
    sections = _sections(survey)
    jumps = [tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in sections]
    navigation = tag("nav", tag("ul", jumps), aria_label="Sections")
    body = tag(
        "body",
        tag("a", "To the figures", href="#memory", class_="skip"),
        tag("header", tag("h1", title), tag("p", _asked(survey)), navigation),
        tag("main", [_section(*section) for section in sections]),
        tag("footer", tag("p", f"Made by moesize {__version__}. Memory is in GiB (2^30 bytes); 1k tokens are 1,024.")),
        tag("script", script),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _policy(style: str, script: str) -> str:
    """Nothing but the page's own style and script, and the empty icon."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _digest(source: str) -> str:
    return "sha256-" + b64encode(sha256(source.encode()).digest()).decode("ascii")


def _sections(survey: Survey) -> list[tuple[str, str, Child]]:
    """Id, heading and content of each section."""
    drawn, rows = len(survey.cases), len(survey.comparison.rows)
    some = [tag("p", f"The best {drawn} of {rows} combinations; the comparison has all.")] if drawn < rows else []
    on = "On the GPUs asked for." if survey.layout_given else "Each on the fewest GPUs it fits on."
    charts = [chart for index, model in enumerate(survey.models) if (chart := touched(model, index))]
    experts: list[tuple[str, str, Child]] = [
        (
            "experts",
            "Experts touched by a batch",
            [
                tag("p", "A token computes with few experts; a growing batch reads nearly all of them at every step."),
                tag("div", charts, class_="charts"),
            ],
        )
    ]
    skipped = tag("ul", [tag("li", f"Skipped: {why}") for why in survey.skipped], class_="notes")
    return [
        ("memory", "Memory of one GPU", [tag("p", on), some, bars(survey)]),
        ("growth", "Context and concurrency", [growth(case, index) for index, case in enumerate(survey.cases)]),
        ("parameters", "Parameters, total and active", parameter_bars(survey.models)),
        *(experts if charts else []),
        (
            "comparison",
            "Comparison",
            [
                tag(
                    "p",
                    "Each on the fewest GPUs it fits on, or on one where it fits on none.",
                    bounds_and_prices(survey.comparison),
                ),
                comparison_table(survey.comparison),
                skipped if survey.skipped else None,
            ],
        ),
        ("provenance", "Where the numbers are from", receipts(survey)),
    ]


def _section(key: str, name: str, content: Child) -> Markup:
    return tag("section", tag("h2", name, id=f"{key}-heading"), content, id=key, aria_labelledby=f"{key}-heading")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _asked(survey: Survey) -> str:
    """The question, with what was not given and is a default."""
    works = [case.result.workload for case in survey.cases]
    contexts = " or ".join(dict.fromkeys(plain(work.context) for work in works))
    default = " (default)" if works[0].context_source == "default" else ""
    engines = _listed(list(dict.fromkeys(f"{c.result.engine.name} {c.result.engine.version}" for c in survey.cases)))
    asked = f"{plain(works[0].concurrency)} × {contexts} tokens{default}, served by {engines}"
    fit = sum(row.verdict == "fits" for row in survey.comparison.rows)
    return f"{asked}. {fit} of {len(survey.comparison.rows)} combinations fit, given enough GPUs."
