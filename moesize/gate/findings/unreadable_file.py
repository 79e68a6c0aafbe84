"""A file or document could not be read, so what it may deploy is not judged.

Not YAML though it seems to serve a model, beyond the limits on size, depth or aliases, not text, or a link that
leads out of the tree. A template that does not parse before it is rendered is a note: gate the output of `helm
template` or `kustomize build`.
"""

from moesize.gate.facts import Problem
from moesize.gate.findings.base import Finding, Level

ID = "unreadable-file"
LEVEL = Level.UNDECIDED


def finding(problem: Problem) -> Finding:
    """The finding of one problem."""
    if problem.kind == "template":
        return Finding(ID, Level.NOTE, problem.text, "gate the rendered manifests", problem.where)
    return Finding(ID, LEVEL, problem.text, "repair the file, or leave it out of the paths", problem.where)
