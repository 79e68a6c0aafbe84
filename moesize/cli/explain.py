"""`moesize explain`: where the parameters are, what a token uses, what the caches keep."""

from moesize.cli import options as opt
from moesize.cli import output
from moesize.cli.choices import loaded
from moesize.explain import explain as run_explain
from moesize.report import explain as report


def explain(
    model: opt.Model,
    family: opt.Family = None,
    offline: opt.Offline = False,
    fmt: opt.OutputFormat = opt.Format.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Where the parameters are, total and active, what is cached, and the experts a batch touches."""
    explanation = run_explain(loaded(model, offline=offline, family=family))
    output.answer(fmt, output_path, text=lambda: report.render(explanation), json=lambda: report.to_json(explanation))
    return 0
