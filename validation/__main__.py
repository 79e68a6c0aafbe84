"""`python -m validation`: scores every measured row, writes docs/accuracy.md; `--check` holds scores to thresholds."""

import sys
from pathlib import Path

from validation.report import markdown
from validation.scores import Scores, misses, score

_PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"


def main(arguments: list[str]) -> int:
    """Exit status 0, or 1 where `--check` finds a threshold missed or the page out of date."""
    if set(arguments) - {"--check"}:
        print("usage: python -m validation [--check]", file=sys.stderr)
        return 2
    scores = score()
    _print(scores)
    page = markdown(scores)
    if "--check" not in arguments:
        _PAGE.parent.mkdir(exist_ok=True)
        _PAGE.write_text(page, encoding="utf-8")
        return 0
    found = misses(scores)
    if not _PAGE.is_file() or _PAGE.read_text(encoding="utf-8") != page:
        found.append("docs/accuracy.md is out of date; run python -m validation")
    for line in found:
        print(f"MISS {line}")
    return 1 if found else 0


def _print(scores: Scores) -> None:
    for s in (*scores.summaries, *scores.others):
        figures = f"median {s.median:7.3%}  p90 {s.p90:7.3%}  worst {s.worst:+8.2%}"
        print(f"{s.term:44} {s.count:4} rows  {figures}  {s.worst_row}")
    for what, (count, equal, explained) in scores.exact.items():
        print(f"{what}: {equal} of {count} equal, {explained} explained")
    for (predicted, observed), count in sorted(scores.confusion.items()):
        print(f"predicted {predicted:5} observed {observed:12} {count:4}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
