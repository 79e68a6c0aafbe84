"""Names as people type them: one canonical spelling, and which spec a name means.

`Mixtral_8x7B`, `mixtral 8x7b` and Ollama's `mixtral:8x7b` are the same words: letters and digits are kept apart, every
punctuation mark separates.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from moesize.errors import InputError, UnknownNameError, printable

_WORD: Final = re.compile(r"[a-z]+|[0-9]+")

#: Endings that name a fine-tune or a packaging of the same shapes.
_TUNES: Final = frozenset({"instruct", "it", "chat", "hf", "base", "pt", "bf-16", "fp-16", "latest", "ud"})

#: Endings that name a quantised copy, and the quantisation each asks for.
_QUANTS: Final = {
    "fp-8": "fp8",
    "fp-8-dynamic": "fp8",
    "awq": "awq-4bit",
    "awq-int-4": "awq-4bit",
    "awq-4-bit": "awq-4bit",
    "gptq": "gptq-4bit",
    "gptq-int-4": "gptq-4bit",
    "gptq-4-bit": "gptq-4bit",
    "gptq-int-8": "gptq-8bit",
    "gptq-8-bit": "gptq-8bit",
    "int-8": "int8",
    "w-8-a-8": "int8",
    "bnb-4-bit": "bnb-nf4",
    "nvfp-4": "nvfp4",
    "mxfp-4": "mxfp4",
    "gguf": "gguf",
}
#: llama.cpp's file types: `-Q4_K_M`, `-IQ2_XXS`, `:8b-instruct-q4_0`; they name themselves.
_GGUF_TYPE: Final = r"[-_.:]((?:i|t)?q[1-8](?:_[01k])?(?:_(?:xxs|xs|s|m|l|nl|xl))?)(?:[-_.]gguf)?$"

_LONGEST_ENDING: Final = 4


class Match(NamedTuple):
    """The spec a name means, and the quantisation it asks for beside it."""

    name: str
    quant_hint: str | None = None


def canonical(name: str) -> str:
    """`name` in the one spelling in which names are compared."""
    return "-".join(_WORD.findall(name.lower()))


def has_word(name: str, word: str) -> bool:
    """Whether one canonical name has another in it, whole words next to each other: `a-3-b` in `qwen-3-30-b-a-3-b`.

    The last of them may be cut short where it is of two letters or more: `mixtr`, but not the `b` of `30b`.
    """
    last = word.rpartition("-")[2]
    end = "" if last.isalpha() and len(last) > 1 else "-"
    return bool(word) and f"-{word}{end}" in f"-{name}-"


def resolve(name: str, known: Mapping[str, str]) -> Match:
    """What `name` means among `known` (canonical name → spec).

    Tried in this order: the name itself; without its owner (`org/`); without endings that name a fine-tune of the same
    shapes or a quantised copy; as the unique beginning of a known name.

    Raises:
        UnknownNameError: nothing is called like it; names the nearest.
        InputError: it begins the names of several models; lists them.
    """
    match = same(name, known)
    if match:
        return match
    short = name.rpartition("/")[2]
    candidates = _beginning_with(canonical(short), known)
    if len(candidates) == 1:
        return Match(candidates[0])
    if candidates:
        shown = ", ".join(candidates[:8]) + (", …" if len(candidates) > 8 else "")
        raise InputError(f"{printable(name)!r} could be any of {shown}; name one of them")
    hint = "`moesize models list` shows all; a config.json, checkpoint folder, .gguf or Hub id is taken too"
    raise UnknownNameError("model", name, {*known.values(), *(k for k in known if k == canonical(short))}, hint)


def same(name: str, known: Mapping[str, str]) -> Match | None:
    """What `name` means but for its owner and its endings; None when nothing is called like it."""
    found = known.get(canonical(name))
    return Match(found) if found else _without_endings(name.rpartition("/")[2], known)


def _without_endings(short: str, known: Mapping[str, str]) -> Match | None:
    """The spec of `short` without what its last words say about tuning and quantisation."""
    quant = ending = ""
    typed = re.search(_GGUF_TYPE, short.lower())
    if typed:
        quant, short = typed.group(1), short[: typed.start()]
    words = canonical(short).split("-")
    while True:
        stem = "-".join(words)
        if ending and f"{stem}-{ending}" in known:
            return Match(known[f"{stem}-{ending}"])
        if stem in known:
            return Match(known[stem], quant or None)
        for length in range(min(_LONGEST_ENDING, len(words) - 1), 0, -1):
            tail = "-".join(words[-length:])
            if tail in _QUANTS and not quant:
                quant, ending = _QUANTS[tail], tail
            elif tail not in _TUNES:
                continue
            words = words[:-length]
            break
        else:
            return None


def _beginning_with(key: str, known: Mapping[str, str]) -> list[str]:
    """The specs a name of which begins with the words of `key`; a last word of letters may be cut short.

    Where one of them is what the others are copies of (`…-fp8`, `…-instruct`), it alone is meant; so is a spec of that
    name where another has only an id that adds words to it (`gpt-oss-120b`, and `org/gpt-oss-120b-Eagle3` of a head).
    """
    if not key or key.isdigit():
        return []
    called: dict[str, list[str]] = {}
    for other, spec in known.items():
        if _begins(other, key):
            called.setdefault(spec, []).append(other)
    own = [name for name in map(canonical, called) if _begins(name, key)]
    found = {
        spec
        for spec, names in called.items()
        if canonical(spec) in own or not all(any(name.startswith(f"{one}-") for one in own) for name in names)
    }
    copies = {name for name in found if _is_copy(name, found)}
    return sorted(found - copies)


def _begins(name: str, key: str) -> bool:
    return name == key or name.startswith(key if key[-1].isalpha() else f"{key}-")


def _is_copy(name: str, among: Iterable[str]) -> bool:
    """Whether `name` is another of these names with nothing but endings after it."""
    others = {canonical(other): other for other in among if other != name}
    return _without_endings(name, others) is not None
