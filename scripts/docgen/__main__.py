"""Writes generated pages and the output of every command shown; `--check` only names what is stale, with status 1."""

import sys
from pathlib import Path

from scripts.docgen import architecture, gate_rules, reference
from scripts.docgen.blocks import ROOT, pages, playground, refreshed

DOCS = ROOT / "docs"
_ROOMS = ("<!-- rooms -->\n", "<!-- end of rooms -->")


def generated() -> dict[Path, str]:
    """Every generated file with what it should hold now."""
    page = DOCS / "architecture.md"
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(_ROOMS[0])[0], text.partition(_ROOMS[1])[2]
    return {
        DOCS / "architecture.svg": architecture.picture(),
        page: f"{before}{_ROOMS[0]}\n{architecture.table()}\n{_ROOMS[1]}{after}",
        gate_rules.PAGE: gate_rules.refreshed(gate_rules.PAGE.read_text(encoding="utf-8")),
        DOCS / "reference" / "commands.md": reference.commands(),
        DOCS / "reference" / "json.md": reference.json_schemas(),
        DOCS / "reference" / "python.md": reference.python(),
    }


def stale() -> dict[Path, str]:
    """Files that are not what they should be, with what they should hold."""
    found = {path: text for path, text in generated().items() if not path.exists() or path.read_text("utf-8") != text}
    with playground():
        for path in pages():
            text = found.get(path) or path.read_text(encoding="utf-8")
            if (fresh := refreshed(text)) != text:
                found[path] = fresh
    return found


def main() -> int:
    """Refreshes what is stale."""
    found = stale()
    for path, text in found.items():
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(bool(found) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
