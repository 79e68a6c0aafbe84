"""HTML and SVG elements from Python values: text and attributes are escaped unless they are markup already."""

from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"meta", "link", "br"})
_REPLACEMENT: Final = "\ufffd"


class Markup(str):
    """Text that is HTML already; only this module and the page's own files make it."""

    __slots__ = ()


#: What stands between two tags; lists of it are laid flat.
Child = str | int | None | Iterable["Child"]


def text(value: str | int) -> Markup:
    """`value` with nothing in it a browser or an XML parser takes for more than text.

    Control characters, lone surrogates and marks that turn the direction of the text are replaced: model names come
    from files nobody vouches for.
    """
    if isinstance(value, Markup):
        return value
    clean = "".join(c if c.isprintable() or c == "\n" else _REPLACEMENT for c in str(value))
    return Markup(escape(clean, quote=True))


def join(children: Iterable[Child], separator: str = "") -> Markup:
    """All children as one piece of markup, those that are lists included; None is nothing."""
    return Markup(text(separator).join(_flat(children)))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """An element: `class_` is `class`, `aria_label` is `aria-label`; None and False leave an attribute out."""
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def _attribute(key: str, value: str | float | bool) -> str:  # noqa: FBT001  a value, not a switch
    if value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{name if value is True else text(str(value))}"'


def link(address: str, *label: Child) -> Markup:
    """A link to a source; the label alone where the address is no web address."""
    if not address.startswith(("https://", "http://")):
        return join(label)
    return tag("a", *label, href=address, rel="noreferrer noopener")


def sources(words: str) -> Markup:
    """A sentence on where something is from, its web addresses as links."""
    parts: list[Child] = []
    for index, word in enumerate(words.split(" ")):
        head = word[: len(word) - len(word.lstrip("(<"))]
        address = word[len(head) :].rstrip(".,;:)>")
        tail = word[len(head) + len(address) :]
        parts += [" " if index else "", head, link(address, address), tail]
    return join(parts)


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str | int):
            yield text(child)
        else:
            yield from _flat(child)
