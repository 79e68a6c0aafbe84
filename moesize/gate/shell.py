"""Launch scripts read without running them: a POSIX shell's words, quotes, assignments and expansions, bounded.

What cannot be known (command output, variables set elsewhere) stays in the text as written, `$NAME` and all; whoever
reads the value sees that it is unresolved. Branches and loops are read straight through: a variable one of them sets
is unknown afterwards.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from moesize.gate.document import Position
from moesize.gate.expansion import MAX_WORD_CHARACTERS, closing_bracket, expand_dollar

MAX_SCRIPT_CHARACTERS: Final = 200_000
MAX_WORDS: Final = 20_000
#: What all expansions of a script may amount to.
MAX_EXPANDED_CHARACTERS: Final = 2_000_000
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_OPENING: Final = frozenset(("if", "for", "while", "until", "case"))
_CLOSING: Final = frozenset(("fi", "done", "esac"))
_RESERVED: Final = _OPENING | _CLOSING | {"then", "elif", "else", "do", "{", "}", "!", "function"}
_DECLARING: Final = frozenset(("export", "local", "declare", "readonly", "typeset"))


@dataclass(frozen=True, slots=True)
class Word:
    """One argument and where it stands; `block` when its lines are lines of the file, beginning below `where`."""

    text: str
    where: Position
    block: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command; `alternative` when it stands in an else branch."""

    words: tuple[Word, ...]
    alternative: bool


@dataclass(slots=True)
class Script:
    """A script being read: its variables, arrays and positional arguments."""

    text: str
    where: Position
    #: Lines of `text` are lines of the file (a `|` block).
    line_by_line: bool
    variables: dict[str, str | None]
    positional: Sequence[Word] = ()
    arrays: dict[str, list[Word]] = field(default_factory=dict)
    _depth: int = 0
    _in_else: list[bool] = field(default_factory=list)

    def commands(self) -> Iterator[Command]:
        """Simple commands in the order they are written, assignments applied on the way."""
        for words in _Lexer(self).commands():
            command = self._strip(words)
            if command:
                yield Command(tuple(command), alternative=any(self._in_else))

    def _strip(self, words: list[Word]) -> list[Word]:
        """Without leading reserved words and assignments, which take effect here."""
        start = 0
        while start < len(words) and words[start].text in _RESERVED:
            word = words[start].text
            if word in _OPENING:
                self._in_else.append(False)
            elif word in _CLOSING and self._in_else:
                self._in_else.pop()
            elif word in ("else", "elif") and self._in_else:
                self._in_else[-1] = True
            start += 1
            if word in ("for", "case"):
                if word == "for" and start < len(words):
                    self.variables[words[start].text] = None
                return []
        if start < len(words) and words[start].text in _DECLARING:
            start += 1
        while start < len(words) and (match := _ASSIGNMENT.match(words[start].text)):
            self._assign(match.group(1), words[start].text[match.end() :], append=bool(match.group(2)))
            start += 1
        return words[start:]

    def _assign(self, name: str, value: str, *, append: bool) -> None:
        if self._in_else:
            if self.variables.get(name) != value:
                self.variables[name] = None
            return
        before = self.variables.get(name)
        if append and name in self.variables and before is None:
            return
        text = (before or "") + value if append else value
        is_circular = f"${name}" in value or f"${{{name}" in value
        self.variables[name] = None if is_circular else text[:MAX_WORD_CHARACTERS]


class _Lexer:
    """Splits a script into the words of its simple commands."""

    def __init__(self, script: Script, *, inside_array: bool = False) -> None:
        self.script = script
        self.inside_array = inside_array
        self.text = script.text[:MAX_SCRIPT_CHARACTERS].replace("\r\n", "\n")
        self.i = 0
        self.line = 0
        self.words: list[Word] = []
        self.count = 0
        self.expanded = 0
        self.buffer: list[str] = []
        self.in_word = False
        self.quoted = False
        self.word_line = 0

    def commands(self) -> Iterator[list[Word]]:
        text = self.text
        while self.i < len(text) and self.count < MAX_WORDS and self.expanded < MAX_EXPANDED_CHARACTERS:
            char = text[self.i]
            if char == "\n":
                self._end_word()
                yield from self._end_command()
                self._advance(1)
            elif char in " \t":
                self._end_word()
                self._advance(1)
            elif char == "#" and not self.in_word:
                end = text.find("\n", self.i)
                self.i = len(text) if end < 0 else end
            elif char in ";&|()":
                if char == "(" and self._array():
                    continue
                self._end_word()
                yield from self._end_command()
                self._advance(1)
            elif char in "<>":
                self._redirect()
            else:
                self._character(char)
        self._end_word()
        yield from self._end_command()

    def _character(self, char: str) -> None:
        text = self.text
        if not self.in_word:
            self.in_word, self.word_line = True, self.line
        if char == "\\":
            following = text[self.i + 1 : self.i + 2]
            if following in ("\n", "") or (following == " " and not self.buffer):
                # A continued line; also one a YAML fold has turned into backslash and space.
                self.in_word = bool(self.buffer) or self.quoted
            else:
                self.buffer.append(following)
            self._advance(2)
        elif char == "'":
            end = text.find("'", self.i + 1)
            end = len(text) if end < 0 else end
            self.buffer.append(text[self.i + 1 : end])
            self.quoted = True
            self._advance(end + 1 - self.i)
        elif char == '"':
            self._double_quoted()
        elif char == "$":
            self._dollar(quoted=False)
        elif char == "`":
            end = text.find("`", self.i + 1)
            end = len(text) if end < 0 else end + 1
            self.buffer.append(text[self.i : end])
            self._advance(end - self.i)
        else:
            self.buffer.append(char)
            self._advance(1)

    def _double_quoted(self) -> None:
        text = self.text
        self.quoted = True
        self._advance(1)
        while self.i < len(text) and text[self.i] != '"':
            char = text[self.i]
            if char == "\\" and text[self.i + 1 : self.i + 2] in ('"', "\\", "$", "`", "\n"):
                self.buffer.append(text[self.i + 1].replace("\n", ""))
                self._advance(2)
            elif char == "$":
                self._dollar(quoted=True)
            else:
                self.buffer.append(char)
                self._advance(1)
        self._advance(1)

    def _dollar(self, *, quoted: bool) -> None:
        rest = self.text[self.i : self.i + 3]
        if rest[:2] in ("$@", "$*") or self.text.startswith(("${@}", "${*}"), self.i):
            self._insert(self.script.positional)
            self._advance(2 if rest[1:2] in "@*" else 4)
            return
        array = re.match(r"\$\{([A-Za-z_]\w*)\[[@*]\]\}", self.text[self.i : self.i + 80])
        if array and array.group(1) in self.script.arrays:
            self._insert(self.script.arrays[array.group(1)])
            self._advance(array.end())
            return
        value, end = expand_dollar(self.text, self.i, self.script.variables)
        written = self.text[self.i : end]
        self.expanded += len(value)
        self._advance(end - self.i)
        if quoted or value == written:
            self.buffer.append(value)
            return
        pieces = value.split()
        if value[:1].isspace() and self.buffer:
            self._end_word()
        for n, piece in enumerate(pieces):
            if n:
                self._end_word()
            self.in_word = True
            self.buffer.append(piece)
        if value[-1:].isspace():
            self._end_word()

    def _insert(self, words: Sequence[Word]) -> None:
        self.words.extend(words[: MAX_WORDS - self.count])
        self.count += len(words)
        self.in_word, self.quoted = bool(self.buffer), False

    def _array(self) -> bool:
        """`NAME=(a b c)` and `NAME+=(…)`: reads the words; False where the parenthesis opens a subshell."""
        match = _ASSIGNMENT.fullmatch("".join(self.buffer)) if self.in_word else None
        if match is None or self.inside_array:
            return False
        end = closing_bracket(self.text, self.i, "(", ")")
        inner = Script(
            self.text[self.i + 1 : end - 1].replace("\n", " "),
            self._position(),
            line_by_line=False,
            variables=self.script.variables,
            arrays=self.script.arrays,
        )
        words = [word for command in _Lexer(inner, inside_array=True).commands() for word in command]
        name = match.group(1)
        before = self.script.arrays.get(name, []) if match.group(2) else []
        self.script.arrays[name] = [*before, *words][:MAX_WORDS]
        self.count += len(words) + 1
        self.buffer.clear()
        self.in_word = False
        self._advance(end - self.i)
        return True

    def _redirect(self) -> None:
        """Skips `> file`, `2>&1`, `<<EOF … EOF`: none of it is an argument."""
        if self.in_word and "".join(self.buffer).isdecimal():
            self.buffer.clear()
            self.in_word = False
        self._end_word()
        match = re.compile(r"(<<<|<<-?|[<>]+[&|]?)[ \t]*(&?[\"']?([^\s;&|()<>\"']*)[\"']?)").match(self.text, self.i)
        if match is None:
            self._advance(1)
            return
        if match.group(1).startswith("<<") and match.group(1) != "<<<" and match.group(3):
            found = re.compile(rf"^\s*{re.escape(match.group(3))}\s*$", re.MULTILINE).search(self.text, match.end())
            self._advance((found.end() if found else len(self.text)) - self.i)
        else:
            self._advance(max(match.end() - self.i, 1))

    def _end_word(self) -> None:
        if self.in_word or self.quoted:
            text = "".join(self.buffer)
            if text or self.quoted:
                self.words.append(Word(text[:MAX_WORD_CHARACTERS], self._position(self.word_line)))
                self.count += 1
        self.buffer.clear()
        self.in_word = self.quoted = False

    def _end_command(self) -> Iterator[list[Word]]:
        if self.words:
            words, self.words = self.words, []
            yield words

    def _position(self, line: int | None = None) -> Position:
        where = self.script.where
        if not self.script.line_by_line:
            return where
        return Position(where.file, where.line + 1 + (self.line if line is None else line), 1)

    def _advance(self, n: int) -> None:
        self.line += self.text.count("\n", self.i, self.i + n)
        self.i += n
