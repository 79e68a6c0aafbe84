"""From a log to an observation: the last start in it, whoever wrote around it."""

import re
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import BinaryIO

from moesize.errors import InputError
from moesize.observe import sglang, vllm
from moesize.observe.observation import Observation

_ENGINES: dict[str, ModuleType] = {"vllm": vllm, "sglang": sglang}
#: What of a line is read: the longest lines of servers print a configuration of some ten thousand characters.
LONGEST_LINE = 2**16
#: What of a log is read; a start is at its beginning or after a restart, and days of traffic come to less.
LONGEST_LOG = 2**28
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,12}[A-Za-z]")


def lines_of(stream: BinaryIO) -> Iterator[str]:
    """The lines of a stream, each cut to what is read of it; bytes that are no text are replaced.

    Raises:
        InputError: a log longer than `LONGEST_LOG`.
    """
    seen = 0
    while chunk := stream.readline(LONGEST_LINE):
        seen += len(chunk)
        if seen > LONGEST_LOG:
            raise InputError(f"the log is longer than {LONGEST_LOG // 2**20} MiB; cut it after the server's start")
        yield chunk.decode("utf-8", errors="replace")


def read_log(lines: Iterable[str], engine: str | None = None) -> Observation:
    """What the last start in a log says. `engine` is taken from the log when None.

    Raises:
        InputError: no line of a server moesize knows.
    """
    readers = [engine] if engine else list(_ENGINES)
    seen = {name: Observation(name) for name in readers}
    claimed: str | None = None
    for position, raw in enumerate(lines, start=1):
        line = _COLOUR.sub("", raw)
        for name in readers:
            if _ENGINES[name].starts_again(line, seen[name]):
                seen[name] = Observation(name, version=seen[name].version, starts=seen[name].starts + 1)
            if _ENGINES[name].read(line, seen[name]):
                seen[name].lines.append(position)
        claimed = next((name for name in readers if _ENGINES[name].claims(line)), claimed)
    best = seen[claimed] if claimed else max(seen.values(), key=lambda s: (len(s.figures), len(s.settings)))
    _ENGINES[best.engine].finish(best)
    if not best.figures and best.outcome is None:
        raise InputError(
            "no memory line of vLLM or SGLang is in the log; it prints them while it starts, at level INFO"
        )
    return best
