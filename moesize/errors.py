"""The errors a user can cause. Each is one sentence: what, where, what to do; the command line exits with status 2."""

from collections.abc import Iterable


class MoesizeError(Exception):
    """Anything that keeps a question from being answered; its text is shown to the user as it stands."""


class InputError(MoesizeError):
    """A value, file or combination that cannot be right."""


class UnknownNameError(MoesizeError):
    """A name nothing is known by, with the nearest names that are known."""

    def __init__(self, kind: str, name: str, candidates: Iterable[str], hint: str = "") -> None:
        from difflib import get_close_matches  # noqa: PLC0415  only an error needs it

        shown = printable(name)
        near = get_close_matches(name.lower(), sorted(set(candidates)), n=3, cutoff=0.5)
        text = f"unknown {kind} {shown!r}"
        if near:
            text += f"; did you mean {', '.join(near)}?"
        if hint:
            text += f" {hint}" if near else f"; {hint}"
        super().__init__(text)
        self.near = tuple(near)


class NotSizeableError(MoesizeError):
    """A known system whose makers disclose too little to size it."""


def printable(text: str, limit: int = 120) -> str:
    """`text` without control characters and cut to `limit`: names come from untrusted files."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
