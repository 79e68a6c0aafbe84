"""The rules in `docs/gate.md`: the docstrings of their modules, in the order of the registry."""

from moesize.gate.rules import RULES
from scripts.docgen.blocks import ROOT

PAGE = ROOT / "docs" / "gate.md"
_MARKS = ("<!-- rules -->\n", "<!-- end of rules -->")


def rules() -> str:
    """A section per rule: its level and its page."""
    return "\n".join(f"### {rule.id}\n\n*{rule.level.value}*. {rule.page}\n" for rule in RULES.values())


def refreshed(page: str) -> str:
    """The page with its rules as they are now."""
    before, after = page.partition(_MARKS[0])[0], page.partition(_MARKS[1])[2]
    return f"{before}{_MARKS[0]}\n{rules()}\n{_MARKS[1]}{after}"
