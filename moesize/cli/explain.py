"""`moesize explain`: where the parameters are, what a token uses, what the caches keep."""

from moesize.cli import options as opt
from moesize.cli import output
from moesize.explain import explain as run_explain
from moesize.model.loader import load_model
from moesize.report import explain as report


def explain(
    model: opt.Model,
    family: opt.Family = None,
    offline: opt.Offline = False,
    fmt: opt.TextOrJson = opt.TextJson.TEXT,
    output_path: opt.Output = None,
) -> int:
    """Where the parameters are, total and active, what is cached, and the experts a batch touches."""
    explanation = run_explain(load_model(model, offline=offline, family=family))
    if fmt is opt.TextJson.JSON:
        output.write(report.to_json(explanation), output_path)
    else:
        output.show(report.render(explanation), output_path)
    return 0
