"""A locked spec says something else than the catalogue of a model of its name.

A spec in `.moesize/models` is a file anybody who may change the tree may change, and a smaller one makes a server pass.
Where the catalogue knows the very Hub id, its own figures are taken, whatever the locked spec says, and this finding
tells where they differ. Where it knows only a model called the same (another owner, a copy), the locked spec is taken,
and this finding says that its parameters or its cache are not those of that model.

Ways out: delete the locked spec, or write it anew with `moesize lock`. A model that really is another one is named in
the policy's `[models]`, as a spec file. Set `levels.contradicting-lock = "error"` in the policy to refuse it.
"""

from collections.abc import Iterator

from moesize.gate.case import Case
from moesize.gate.findings._words import place
from moesize.gate.findings.base import Finding, Level

ID = "contradicting-lock"
LEVEL = Level.WARNING


def check(case: Case) -> Iterator[Finding]:
    """At most one finding."""
    if case.lock_doubt:
        help_text = "delete the locked spec, write it anew with `moesize lock`, or name a spec file in the policy"
        yield Finding(ID, LEVEL, case.lock_doubt, help_text, place(case, case.deployment.model))
