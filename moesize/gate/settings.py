"""Settings as given, by flag, environment variable or key: each with its text and place, the last one given wins."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from moesize.gate.dialect import KINDS, Dialect
from moesize.gate.document import Node, Position
from moesize.gate.expansion import Variables, is_unresolved
from moesize.gate.facts import Note
from moesize.gate.shell import Word

_TRUTH: Final = frozenset(("true", "false", "1", "0", "yes", "no"))
_NUMBER: Final = re.compile(r"-\d")
#: Flags that take no value whatever they are called behind this.
_SWITCH_PREFIXES: Final = ("enable-", "disable-", "no-", "use-", "skip-", "allow-")
_VALUED: Final = frozenset(("disable-access-log-for-endpoints",))
#: Flags that take every word up to the next flag.
_SEVERAL: Final = frozenset(("served-model-name", "lora-modules", "middleware", "allowed-origins", "prompt-adapters"))


@dataclass(frozen=True, slots=True)
class Given:
    """One value of a setting as the file spells it."""

    text: str
    where: Position
    spelled: str


@dataclass(slots=True)
class Settings:
    """Everything given for one launch; later values win over earlier ones."""

    given: dict[str, list[Given]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def give(self, setting: str, text: str, where: Position, spelled: str, *, weaker: bool = False) -> None:
        """Record a value; a `weaker` one loses against everything recorded so far."""
        values = self.given.setdefault(setting, [])
        values.insert(0 if weaker else len(values), Given(text, where, spelled))

    def give_node(self, setting: str, node: Node | None, spelled: str, *, weaker: bool = False) -> None:
        """Record a document's scalar, if there is one."""
        if node is not None and node.text is not None:
            self.give(setting, node.text, node.position, spelled, weaker=weaker)

    def last(self, setting: str) -> Given | None:
        """The value that wins."""
        values = self.given.get(setting)
        return values[-1] if values else None

    def text(self, setting: str) -> str | None:
        """The text of the value that wins."""
        found = self.last(setting)
        return found.text if found else None

    def ignored(self, setting: str, node: Node, text: str) -> None:
        """Note a setting under a key that nothing reads."""
        self.notes.append(Note("ignored", setting, text, node.position))

    def all_notes(self) -> list[Note]:
        """What was noted, the repeated settings and those that refer to something unknown."""
        notes = list(self.notes)
        for setting, values in self.given.items():
            last = values[-1]
            others = [value for value in values[:-1] if value.text != last.text]
            if others:
                lost = ", ".join(f"{value.spelled} {value.text}" for value in others[:3])
                notes.append(Note("repeated", setting, f"{last.spelled} {last.text} wins over {lost}", last.where))
            if is_unresolved(last.text):
                notes.append(Note("unresolved", setting, last.text, last.where))
        return notes

    def copy(self) -> "Settings":
        """An independent copy."""
        return Settings({name: list(values) for name, values in self.given.items()}, list(self.notes))


def setting_of(dialect: Dialect, flag: str) -> str | None:
    """The setting a flag (no dashes, any of `_` and `-`) stands for, abbreviations included."""
    name = flag.replace("_", "-")
    if name in dialect.flags:
        return dialect.flags[name]
    if not dialect.abbreviates or len(name) < 3 or name in dialect.others or name in dialect.switches:
        return None
    candidates = [known for known in (*dialect.flags, *dialect.others) if known.startswith(name)]
    settings = {dialect.flags.get(known, known) for known in candidates}
    return dialect.flags.get(candidates[0]) if len(settings) == 1 else None


def parse_flags(dialect: Dialect, words: Sequence[Word], settings: Settings) -> list[Word]:
    """Record the settings among `words`; returns the positional ones."""
    positional: list[Word] = []
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if word.text.startswith("-") and word.text.strip("-"):
            i += _flag(dialect, word, words[i] if i < len(words) else None, settings)
            if word.text.lstrip("-").replace("_", "-") in _SEVERAL:
                while i < len(words) and not words[i].text.startswith("-"):
                    i += 1
        elif word.text.strip("-"):
            positional.append(word)
    return positional


def _flag(dialect: Dialect, word: Word, following: Word | None, settings: Settings) -> int:
    """Record one flag; 1 if it took the following word as its value, 0 otherwise."""
    name, has_value, value = word.text.lstrip("-").partition("=")
    spelled = word.text.partition("=")[0]
    setting = setting_of(dialect, name)
    negated = setting is None and name.startswith("no-")
    if negated:
        setting = setting_of(dialect, name[3:])
        setting = setting if setting and KINDS[setting] == "switch" else None
    if setting and KINDS[setting] == "switch":
        takes = not has_value and following is not None and following.text.lower() in _TRUTH
        text = following.text if takes and following else value
        settings.give(setting, "false" if negated else text or "true", word.where, spelled)
        return int(takes)
    if has_value:
        if setting:
            settings.give(setting, value, word.where, spelled)
        return 0
    if following is None or not _is_value(following.text, known=setting is not None):
        return 0
    if setting is None:
        return int(not _takes_no_value(dialect, name, following.text))
    settings.give(setting, following.text, following.where, spelled)
    return 1


def _is_value(text: str, *, known: bool) -> bool:
    return not text.startswith("-") or _NUMBER.match(text) is not None or (known and not text.startswith("--"))


def _takes_no_value(dialect: Dialect, name: str, following: str) -> bool:
    plain = name.replace("_", "-")
    if following.lower() in _TRUTH:
        return False
    return plain in dialect.switches or (plain.startswith(_SWITCH_PREFIXES) and plain not in _VALUED)


def give_environment(
    dialect: Dialect, variables: Variables, places: Mapping[str, Position], otherwise: Position, settings: Settings
) -> None:
    """Record what the engine reads from its environment; flags win over it.

    Variables without a place of their own, such as a script's, stand `otherwise`.
    """
    for name, setting in dialect.environment.items():
        value = variables.get(name)
        if value:
            settings.give(setting, value, places.get(name, otherwise), name, weaker=True)


def give_config(dialect: Dialect, config: Node, settings: Settings, *, weaker: bool = True) -> None:
    """Record the keys of a config file, which are long flags without dashes; flags win over them."""
    for key, node in config.mapping.items():
        setting = setting_of(dialect, key)
        if setting is None and key.startswith("no-") and (positive := setting_of(dialect, key[3:])):
            if KINDS[positive] == "switch" and node.boolean is not None:
                settings.give(positive, str(not node.boolean).lower(), node.position, key, weaker=weaker)
        elif setting:
            settings.give_node(setting, node, key, weaker=weaker)
