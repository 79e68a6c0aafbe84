"""Mutations: of values and their structure, of YAML and JSON as text, of bytes."""

import copy
import json
import math
import struct
from random import Random
from typing import Any

import yaml

HOSTILE_TEXT = (
    "", " ", "\0", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "a\nb", "a\r\nb", "\u202eabc", "\u2028", "\ufeff", "\ud800",
    "٣", "９", "½", "Ａ", "é" * 50, "x" * 5000, "%s%n", "{0}", "{{ .Values.x }}", "${HOME}", "$(touch pwned)", "`touch pwned`",
    "; touch pwned", "../../outside/secret.yaml", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/x", "~root", "C:\\x", "nan",
    "inf", "1e400", "-0", "0x10", "1_000", "1:30", "null", "true", "<script>alert(1)</script>", "]]>", "&amp;", "'\"", "a|b", "#", "*x",
    "[" * 300, "org/name", "mixtral", "llama", "bfloat16", "float7", "fp8", "H100:8", "2xA10G", "24GiB", "-24GiB", "1e30GiB",
)  # fmt: skip
HOSTILE_NUMBERS = (
    0, 1, -1, 2, 3, 7, 8, 255, 2**16, 2**31, 2**32, 2**40, 2**53 + 1, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1.5,
    1e-300, 1e308, math.inf, -math.inf, math.nan,
)  # fmt: skip


def hostile(rng: Random, depth: int = 0) -> Any:  # noqa: ANN401  anything is the point
    """Any value: odd text and numbers, nothing, and small or deep structures of them."""
    kind = rng.randrange(12)
    if kind < 4:
        return rng.choice(HOSTILE_NUMBERS)
    if kind < 7:
        return rng.choice(HOSTILE_TEXT)
    if kind == 7:
        return rng.choice((None, True, False))
    if kind == 8:
        return rng.randrange(-(2**70), 2**70)
    if kind == 9 and depth < 3:
        return [hostile(rng, depth + 1) for _ in range(rng.randrange(5))]
    if kind == 10 and depth < 3:
        return {rng.choice(HOSTILE_TEXT): hostile(rng, depth + 1) for _ in range(rng.randrange(4))}
    return nested(rng.choice((5, 50, 90, 200)), rng.choice(("list", "dict")))


def nested(depth: int, kind: str) -> Any:  # noqa: ANN401
    """A list in a list, or a mapping in a mapping, so many deep."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """Paths to everything inside a structure."""
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        return []
    return [p for key, child in inner for p in ((*path, key), *places(child, (*path, key)))]


def mutated(rng: Random, value: Any, others: Any = None) -> Any:  # noqa: ANN401
    """A copy with a few places dropped, doubled, renamed, swapped, wrapped or replaced; `others` lends parts."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 4))):
        found = places(value)
        if not found:
            return hostile(rng)
        *path, last = rng.choice(found)
        holder = value
        for key in path:
            holder = holder[key]
        _change(rng, holder, last, others)
    return value


def _change(rng: Random, holder: Any, key: Any, others: Any) -> None:  # noqa: ANN401
    old = holder[key]
    how = rng.choice((0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 6, 7, 8, 8))
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[rng.choice((*HOSTILE_TEXT, str(key).upper(), f"{key}s", f"{key}\x1b[2J"))] = holder.pop(key)
    elif how == 2 and isinstance(old, int | float) and not isinstance(old, bool):
        holder[key] = rng.choice(
            (
                -old,
                old + 1,
                old - 1,
                old * 2,
                old * 3,
                old * 10**9,
                old // 2 if isinstance(old, int) else old / 2,
                str(old),
                1,
            )
        )
    elif how == 3:
        holder[key] = rng.choice(([old], {"a": old}, [old] * rng.choice((0, 2, 400)), str(old)))
    elif how == 4 and isinstance(old, str):
        holder[key] = rng.choice(
            (old + rng.choice(HOSTILE_TEXT), rng.choice(HOSTILE_TEXT) + old, old[: len(old) // 2], old * 300)
        )
    elif how == 5 and isinstance(old, list) and old:
        holder[key] = rng.choice((old[:-1], old * 2, old[::-1], [*old, rng.choice(old)], [*old, hostile(rng)]))
    elif how == 6 and others is not None:
        lent = others
        for step in rng.choice(places(others) or [()]):
            lent = lent[step]
        holder[key] = copy.deepcopy(lent)
    elif how == 7 and isinstance(holder, dict):
        holder[rng.choice(list(holder))] = old
    else:
        holder[key] = hostile(rng)


def json_bytes(rng: Random, value: Any) -> bytes:  # noqa: ANN401
    """The value as JSON; sometimes with a key twice, another encoding, or damaged bytes."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.03:
        text = text.replace(
            "{", f'{{"{rng.choice(("model_type", "a"))}": {json.dumps(hostile(rng))}, ', rng.randrange(1, 3)
        )
    if rng.random() < 0.02:
        return text.encode(rng.choice(("utf-16", "utf-8-sig", "latin-1")), "replace")
    data = text.encode("utf-8", "surrogatepass" if rng.random() < 0.5 else "replace")
    return damaged(rng, data) if rng.random() < 0.05 else data


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
MERGES = "a0: &a0 {k0: v}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: v}}\n" for i in range(1, 10)
)
YAML_PIECES = (
    "&a [*a]", "&a {b: *a}", "*nothing", "!!python/object/apply:os.system ['touch pwned']", "!!binary aGVsbG8=", "!!set {a, b}",
    "!!timestamp 2001-01-01", "!x y", "0b101", "0o17", "012", "1:30:30", ".nan", ".inf", "1e999", "2001-02-30", "2026-01-01",
    "~", "no", "? a", "<<: 1", "<<: [1, 2]", "|\n  text", ">-\n  text", "'", '"', "[", "{", "%YAML 9.9", "\t", "---", "...",
    "9" * 5000, "0x" + "f" * 3000, '"\\ud800"', '"\\x1b[31m"', "[" * 2000, "{a: " * 500,
)  # fmt: skip


def yaml_bytes(rng: Random, value: Any) -> bytes:  # noqa: ANN401
    """The value as YAML; sometimes with anchors, bombs, tags or other pieces in the place of a value, or damaged."""
    try:
        text = yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True)
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError):
        text = json.dumps(value, default=str)
    return yaml_text(rng, text)


def yaml_text(rng: Random, text: str) -> bytes:
    """YAML as text with pieces put into it, encoded."""
    if rng.random() < 0.2:
        lines = text.split("\n")
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(lines))
            key, colon, _ = lines[at].partition(":")
            lines[at] = f"{key}{colon} {rng.choice(YAML_PIECES)}"
        text = "\n".join(lines)
    if rng.random() < 0.06:
        bomb, last = rng.choice(((BOMB, "*a9"), (MERGES, "*a9")))
        key = text.partition(":")[0].splitlines()[-1:] or ["a"]
        text = rng.choice((f"{bomb}{text}", f"{bomb}{key[0]}: {last}\n", f"{bomb}config: {last}\n{text}"))
    data = text.encode("utf-8", "replace")
    return damaged(rng, data) if rng.random() < 0.07 else data


class _Plain(yaml.SafeDumper):
    """A dumper that writes every value out: what a file holds must not depend on which objects were shared."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002
        return True


def damaged(rng: Random, data: bytes) -> bytes:
    """Bytes flipped, cut, repeated, inserted, or a length written over them."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(max(1, len(changed)))
        how = rng.randrange(7)
        if how == 0:
            del changed[at:]
        elif how == 1:
            changed[at:at] = rng.randbytes(rng.randrange(1, 12))
        elif how == 2:
            changed[at:at] = changed[at : at + rng.choice((4, 40, 400))]
        elif how == 3:
            changed[at : at + 8] = struct.pack("<Q", rng.choice((0, 1, 2**16, 2**31, 2**40, 2**63, 2**64 - 1)))
        elif how == 4:
            del changed[at : at + rng.randrange(1, 30)]
        elif changed:
            changed[at % len(changed)] ^= rng.randrange(1, 256)
    return bytes(changed)
