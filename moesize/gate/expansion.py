"""References to variables in launch lines, replaced as the kubelet, docker compose and a shell would.

Nothing is run. What is not known stays as written, `$NAME` and all.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

MAX_WORD_CHARACTERS: Final = 65_536
_MAX_NESTING: Final = 8

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ARITHMETIC: Final = re.compile(r"\s*(?:(\d{1,12})|([A-Za-z_]\w*)|(\*\*|[-+*/%()]))")
#: Under this name readers give the number of GPUs that counting them in the container would find.
GPU_COUNT: Final = "nvidia-smi"
_COUNTING: Final = re.compile(
    r"\s*nvidia-smi\s+(?:-L|--list-gpus|--query-gpu=\S+(?:\s+--format=\S+)?)\s*\|\s*wc\s+-l\s*"
)
_UNRESOLVED: Final = re.compile(r"\$[A-Za-z_0-9({@*#?]|`|\{\{|^<[^<>]*>$")

#: Values of variables by name; None for one that is set to something the file does not tell.
Variables = Mapping[str, str | None]


def is_unresolved(text: str) -> bool:
    """Whether `text` still refers to something its file does not say."""
    return _UNRESOLVED.search(text) is not None


def expand_kubernetes(text: str, variables: Variables) -> str:
    """`$(NAME)` as the kubelet replaces it in arguments; `$$` is an escaped dollar, unknown names stay."""
    if "$" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        value = variables.get(match.group(1))
        return match.group(0) if value is None else value

    return re.sub(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)", replace, text)[:MAX_WORD_CHARACTERS]


def expand_compose(text: str, variables: Variables) -> str:
    """`$NAME`, `${NAME:-default}` as docker compose replaces them, nested; `$$` becomes a dollar."""
    if "$" not in text:
        return text
    out: list[str] = []
    i = 0
    while i < len(text):
        if text[i] != "$":
            out.append(text[i])
            i += 1
        elif text.startswith("$$", i):
            out.append("$")
            i += 2
        else:
            value, i = expand_dollar(text, i, variables)
            out.append(value)
    return "".join(out)[:MAX_WORD_CHARACTERS]


def expand_dollar(text: str, start: int, variables: Variables, nesting: int = 0) -> tuple[str, int]:
    """The value of the expansion at `text[start] == '$'` and the index behind it; as written when it is unknown."""
    if nesting > _MAX_NESTING:
        return text[start:], len(text)
    if text.startswith("$((", start):
        end = text.find("))", start + 3)
        if end < 0:
            return text[start:], len(text)
        result = evaluate(_expand_plain(text[start + 3 : end], variables, nesting + 1), variables)
        return (text[start : end + 2] if result is None else str(result)), end + 2
    if text.startswith("$(", start):
        end = closing_bracket(text, start + 1, "(", ")")
        inside = text[start + 2 : end - 1]
        # What the kubelet would have replaced had it known the name: `$(LWS_GROUP_SIZE)`.
        is_name = _NAME.fullmatch(inside) is not None
        value = variables.get(inside) if is_name else variables.get(GPU_COUNT) if _COUNTING.fullmatch(inside) else None
        return (text[start:end] if value is None else value), end
    if text.startswith("${", start):
        end = closing_bracket(text, start + 1, "{", "}")
        return _braces(text[start:end], variables, nesting), end
    match = _NAME.match(text, start + 1)
    if match is None:
        return text[start : start + 2], start + 2
    value = variables.get(match.group(0))
    return (text[start : match.end()] if value is None else value), match.end()


def _braces(written: str, variables: Variables, nesting: int) -> str:
    inside = written[2:-1]
    match = _NAME.match(inside)
    if match is None:
        return written
    name, rest = match.group(0), inside[match.end() :]
    value = variables.get(name)
    unknown = name in variables and value is None
    if not rest:
        return written if value is None else value
    operator = rest[:2] if rest[0] == ":" else rest[0]
    if operator not in (":-", "-", ":=", "=", ":+", "+", ":?", "?"):
        return written
    word = rest[len(operator) :]
    is_set = value is not None and (value != "" or operator[0] != ":")
    if unknown:
        return written
    if operator in (":+", "+"):
        return _expand_plain(word, variables, nesting + 1) if is_set else ""
    if is_set and value is not None:
        return value
    if operator in (":?", "?"):
        return written
    return _expand_plain(word, variables, nesting + 1)


def _expand_plain(text: str, variables: Variables, nesting: int) -> str:
    out: list[str] = []
    i = 0
    while i < len(text):
        if text[i] == "$" and i + 1 < len(text):
            value, i = expand_dollar(text, i, variables, nesting)
            out.append(value)
        else:
            out.append(text[i])
            i += 1
    return "".join(out).strip("\"'")[:MAX_WORD_CHARACTERS]


def closing_bracket(text: str, start: int, opening: str, closing: str) -> int:
    """The index behind the bracket that closes the one at `start`, or the end."""
    depth = 0
    for i in range(start, len(text)):
        if text[i] == opening:
            depth += 1
        elif text[i] == closing:
            depth -= 1
            if depth == 0:
                return i + 1
    return len(text)


def evaluate(expression: str, variables: Variables) -> int | None:
    """The integer an arithmetic expansion stands for (`+ - * / %`, parentheses), or None."""
    tokens: list[str] = []
    position = 0
    text = expression[:200].strip()
    while position < len(text):
        match = _ARITHMETIC.match(text, position)
        if match is None or match.group(3) == "**":
            return None
        name = match.group(2)
        token = variables.get(name) if name else match.group(0).strip()
        if token is None or (name and not token.isdecimal()) or len(token) > 12:
            return None
        tokens.append(token)
        position = match.end()
    parser = _Arithmetic(tokens)
    try:
        value = parser.sum()
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return value if parser.position == len(tokens) and abs(value) < 10**15 else None


class _Arithmetic:
    """Sums of products over integers; at most 200 characters come in, so recursion is shallow."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens
        self.position = 0

    def sum(self) -> int:
        value = self.product()
        while self._peek() in ("+", "-"):
            sign = self._next()
            value += self.product() if sign == "+" else -self.product()
        return value

    def product(self) -> int:
        value = self.factor()
        while (operator := self._peek()) in ("*", "/", "%"):
            self._next()
            right = self.factor()
            value = value * right if operator == "*" else value // right if operator == "/" else value % right
        return value

    def factor(self) -> int:
        item = self._next()
        if item == "(":
            value = self.sum()
            if self._next() != ")":
                raise ValueError
            return value
        if item == "-":
            return -self.factor()
        return int(item)

    def _peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _next(self) -> str:
        self.position += 1
        return self.tokens[self.position - 1]
