"""Which modules a quantisation configuration means: names, prefixes, suffixes, globs and regular expressions.

Configurations are untrusted. Every pattern is bounded, and all matching of one configuration shares a time budget.
"""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from math import prod
from time import perf_counter

from moesize.errors import InputError, printable
from moesize.model.spec import Tensor
from moesize.quant.formats import WeightFormat
from moesize.quant.scheme import Part, module_of, split_layers

#: No real configuration has longer patterns.
MAX_PATTERN_CHARS = 512
#: Repetitions in a pattern -> ways its alternatives may combine. Matching a name of a hundred characters within them
#: takes a second at worst, since no group is repeated; real patterns have two or three and a dozen.
_WAYS = {0: 4096, 1: 4096, 2: 4096, 3: 512, 4: 16, 5: 16, 6: 4}
#: Matching a real configuration takes milliseconds; a hostile one is stopped between two matches, each of which takes
#: a fraction of a second at worst.
MAX_SECONDS = 2.0


class Budget:
    """The time all patterns of the configuration that was read last have taken."""

    spent = 0.0

    @classmethod
    def renew(cls) -> None:
        """Start anew, for another configuration."""
        cls.spent = 0.0


#: What a configuration does with a module, by its full name.
Choose = Callable[[str], WeightFormat | None]


class ModuleSet:
    """Modules given by full name, by a parent's name or by the last parts of the name.

    This is the boundary rule of transformers' `should_convert_module`: `lm_head` is `model.lm_head` too, and
    `model.layers.1` is not `model.layers.11`.
    """

    def __init__(self, entries: Iterable[str], *, substrings: bool = False) -> None:
        plain: list[str] = []
        starts: list[str] = []
        patterns: list[Pattern] = []
        for entry in entries:
            if entry.startswith("re:"):
                patterns.append(Pattern(entry[3:]))
            elif entry.endswith("*") and not any(c in entry[:-1] for c in "*?["):
                starts.append(entry[:-1])  # most globs of long lists are of this kind, and cheap to test all at once
            elif "*" in entry or "?" in entry:
                patterns.append(Pattern(entry, glob=True))
            else:
                plain.append(entry.removesuffix(".weight"))
        self._names = frozenset(plain)
        self._starts = tuple(starts)
        self._patterns = tuple(patterns)
        self._substrings = tuple(self._names) if substrings else ()
        #: Whether layers can differ: some entry has a digit or a character class in it.
        self.tells_layers_apart = any(c.isdigit() for name in (*plain, *starts) for c in name) or any(
            p.tells_digits_apart for p in patterns
        )

    def __bool__(self) -> bool:
        return bool(self._names or self._starts or self._patterns)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        names = self._names
        if name in names or name.startswith(self._starts):
            return True
        if names:
            at = name.find(".")
            while at >= 0:
                if name[:at] in names or name[at + 1 :] in names:
                    return True
                at = name.find(".", at + 1)
        return any(part in name for part in self._substrings) or any(p.matches(name) for p in self._patterns)


class Pattern:
    """A regular expression, matched from the start as `re.match` does, or a glob of the whole name.

    Raises:
        InputError: not a regular expression, or one whose matching could take unbounded time.
    """

    def __init__(self, text: str, *, glob: bool = False) -> None:
        shown = printable(text, 60)
        if len(text) > MAX_PATTERN_CHARS:
            raise InputError(
                f"quantization_config: the pattern {shown!r} is longer than {MAX_PATTERN_CHARS} characters"
            )
        if not glob and not _is_tame(text):
            raise InputError(f"quantization_config: the pattern {shown!r} repeats too much to be matched safely")
        try:
            self._pattern = re.compile(translate(text) if glob else text)
        except (re.error, RecursionError, OverflowError):
            raise InputError(f"quantization_config: {shown!r} is not a regular expression") from None
        self._glob = glob
        self.tells_digits_apart = any(c.isdigit() or c in "[?" for c in text)

    def matches(self, name: str) -> bool:
        """Whether the pattern matches.

        Raises:
            InputError: the configuration has used up its time.
        """
        if self._glob:  # fnmatch's translation does not backtrack into a star it has passed
            return self._pattern.match(name) is not None
        start = perf_counter()
        found = self._pattern.match(name) is not None
        Budget.spent += perf_counter() - start
        if Budget.spent > MAX_SECONDS:
            shown = printable(self._pattern.pattern, 60)
            raise InputError(f"quantization_config: patterns like {shown!r} take too long to match")
        return found


def _is_tame(text: str) -> bool:
    """Whether a regular expression cannot take long: few repetitions, no repeated group, few ways to go."""
    repetitions = len(re.findall(r"(?<![(*+}])[*+?{]", text))
    ways = prod(1 + part.count("|") for part in text.split(")"))
    return not re.search(r"\)\s*[*+{]", text) and ways <= _WAYS.get(repetitions, 0)


def assign(tensor: Tensor, choose: Choose, *, layers_differ: bool) -> tuple[Part, ...]:
    """The parts of a tensor by what `choose` says of each layer's module.

    Experts of one layer are asked about by the first and, where names tell them apart, the last of them.

    Raises:
        InputError: experts of one layer that are stored differently.
    """
    module = module_of(tensor)
    if tensor.layers is None:
        return ((tensor, _of_experts(tensor, module, choose, both=layers_differ)),)
    formats: dict[int, WeightFormat | None] = {}
    by_digits: dict[int, WeightFormat | None] = {}
    for layer in tensor.layers:
        text = str(layer)
        if layers_differ or len(text) not in by_digits:
            name = module.replace("{layer}", text)
            by_digits[len(text)] = _of_experts(tensor, name, choose, both=layers_differ)
        formats[layer] = by_digits[len(text)]
    return split_layers(tensor, formats)


def _of_experts(tensor: Tensor, name: str, choose: Choose, *, both: bool) -> WeightFormat | None:
    if "{expert}" not in name:
        return choose(name)
    first = choose(name.replace("{expert}", "0"))
    if both and tensor.experts > 1 and choose(name.replace("{expert}", str(tensor.experts - 1))) != first:
        raise InputError(f"quantization_config stores experts of {name} in different formats, which is not supported")
    return first
