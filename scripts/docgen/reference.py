"""The pages of `docs/reference/`: commands from the command line's own definitions, JSON from the result classes."""

import inspect
import re
from dataclasses import fields, is_dataclass
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

import moesize
from moesize import compare, explain, plan, results, smallest
from moesize.cli.main import build_app
from moesize.gate import results as gate
from moesize.observe import compare as observe
from moesize.probe import results as probe

NOTICE = "<!-- written by `python -m scripts.docgen`; do not edit -->\n\n"


def commands() -> str:
    """Every command with its arguments and options."""
    group = typer.main.get_command(build_app())
    lines = [NOTICE + "# Commands\n", f"{group.help}\n"]
    lines += [
        "Exit status: 0 it fits (or the question is answered), 1 it does not fit, 2 the question cannot be answered.",
        "Options with two spellings mean the same; the longer ones are vLLM's.",
        "`--format` is text unless said otherwise; text, json and markdown are known everywhere, `compare` adds csv,",
        "and `gate` what reviewers and CI services read. `report` writes HTML alone.",
        "`--quiet` keeps of the text what decides: the verdict, the table, or the findings that fail. `--verbose` adds",
        "formula and source of every term, every row, or where every fact was read. Neither changes the other formats.",
        "Nothing is coloured in a pipe, nor where NO_COLOR is set; what takes longer than half a second shows a bar on",
        "standard error, on a terminal alone.\n",
    ]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        lines += _command(f"moesize {name}", command)
    return "\n".join(lines)


def _command(path: str, command: Any) -> list[str]:  # noqa: ANN401  typer does not export the parser's classes
    subcommands = getattr(command, "commands", None)
    if subcommands:
        head = [f"## `{path}`\n", f"{command.help}\n"]
        return head + [line for name, sub in subcommands.items() for line in _command(f"{path} {name}", sub)]
    shown = [p for p in command.params if p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    usage = " ".join([path, *(_metavar(a) for a in arguments), *(["[OPTIONS]"] if options else [])])
    level = "##" if path.count(" ") == 1 else "###"
    lines = [f"{level} `{path}`\n", f"{_one_line(command.help)}\n", f"```text\n{usage}\n```\n"]
    if arguments:
        lines += ["| argument | what |", "| --- | --- |"]
        lines += [f"| `{_metavar(a)}` | {_cell(_one_line(getattr(a, 'help', '')))} |" for a in arguments] + [""]
    if options:
        lines += ["| option | value | default | what |", "| --- | --- | --- | --- |", *map(_option, options), ""]
    return lines


def _metavar(argument: Any) -> str:  # noqa: ANN401
    return argument.metavar or argument.name.upper()


def _option(option: Any) -> str:  # noqa: ANN401
    spellings = ", ".join(f"`{word}`" for word in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        value, default = "–", "–"
    else:
        choices = getattr(option.type, "choices", None)
        value = ", ".join(str(getattr(c, "value", c)) for c in choices) if choices else option.type.name.lower()
        given = getattr(option.default, "value", option.default)
        default = "required" if option.required else "–" if given is None else f"`{given}`"
    return f"| {spellings} | {value} | {default} | {_cell(_one_line(option.help))} |"


#: schema -> its class and the module whose dataclasses it is made of
SCHEMAS: dict[str, tuple[type, ModuleType, str]] = {
    results.SCHEMA: (results.CheckResult, results, "moesize check MODEL --gpu GPU --format json"),
    smallest.SCHEMA: (smallest.SmallestGpus, smallest, "moesize check MODEL --format json"),
    compare.SCHEMA: (compare.Comparison, compare, "moesize compare MODEL… --format json"),
    plan.SCHEMA: (plan.Plan, plan, "moesize plan MODEL --format json"),
    explain.SCHEMA: (explain.Explanation, explain, "moesize explain MODEL --format json"),
    gate.SCHEMA: (gate.GateResult, gate, "moesize gate PATH… --format json"),
    probe.SCHEMA: (probe.ProbeResult, probe, "moesize probe MODEL --format json"),
    observe.SCHEMA: (observe.ObserveResult, observe, "moesize observe LOG --format json"),
}


def json_schemas() -> str:
    """Every JSON document: its objects, and of each the keys, their types and what they mean."""
    lines = [
        NOTICE + "# JSON\n",
        "Each document names its schema and version under `schema`. Within a version keys are added, never renamed or",
        "removed. Bytes are integers; `per_gpu` is the fullest rank. A key that may be `null` says so.\n",
    ]
    for schema, (root, module, command) in SCHEMAS.items():
        lines += [f"## `{schema}`\n", f"```text\n{command}\n```\n"]
        prefix = schema.split("/")[0].replace(".", "-")
        for one in _classes(root, []):
            lines += [f"### {one.__name__} {{ #{prefix}-{one.__name__.lower()} }}\n"]
            lines += [f"{_one_line(inspect.getdoc(one))}\n", "| key | type |", "| --- | --- |"]
            hints = get_type_hints(one, vars(module))
            lines += [f"| `{f.name}` | {_cell(_type(hints[f.name], prefix))} |" for f in fields(one)] + [""]
    return "\n".join(lines)


def _classes(root: type, seen: list[type]) -> list[type]:
    """`root` and every dataclass reached from it, each once, in order of appearance."""
    seen.append(root)
    for hint in get_type_hints(root).values():
        for inner in _dataclasses(hint):
            if inner not in seen:
                _classes(inner, seen)
    return seen


def _dataclasses(hint: Any) -> list[type]:  # noqa: ANN401
    if isinstance(hint, type) and is_dataclass(hint):
        return [hint]
    return [found for inner in get_args(hint) for found in _dataclasses(inner)]


def _type(hint: Any, prefix: str) -> str:  # noqa: ANN401
    """A type as JSON knows it; objects link to their own table."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in inner)
    if origin in (Union, UnionType):
        return " | ".join(_type(one, prefix) for one in inner)
    if origin is list:
        return f"list of {_type(inner[0], prefix)}"
    if origin is dict:
        return f"object: {_type(inner[0], prefix)} → {_type(inner[1], prefix)}"
    names = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
    return names.get(hint) or f"[{hint.__name__}](#{prefix}-{hint.__name__.lower()})"


def python() -> str:
    """The public names with their signatures and docstrings."""
    lines = [NOTICE + "# Python\n", "What `import moesize` offers; everything else may change between versions.\n"]
    for name in sorted(moesize.__all__, key=lambda n: (n == "__version__", n)):
        value = getattr(moesize, name)
        if name == "__version__":
            lines += ["## `moesize.__version__`\n", "The version as a string.\n"]
            continue
        lines.append(f"## `moesize.{name}`\n")
        if inspect.isfunction(value):
            lines.append(f"```python\n{_signature(name, value)}\n```\n")
        lines.append(_prose(inspect.getdoc(value) or "") + "\n")
    return "\n".join(lines)


def _signature(name: str, function: Any) -> str:  # noqa: ANN401
    signature = inspect.signature(function)
    # types are shown by their names, without the modules they stand in
    shown = [re.sub(r"\b(?:moesize|pathlib)\.(?:\w+\.)*", "", str(p)) for p in signature.parameters.values()]
    star = next((i for i, p in enumerate(signature.parameters.values()) if p.kind is p.KEYWORD_ONLY), None)
    if star is not None:
        shown.insert(star, "*")
    if sum(map(len, shown)) < 80:
        return f"{name}({', '.join(shown)})"
    return f"{name}(\n" + "".join(f"    {part},\n" for part in shown) + ")"


def _prose(doc: str) -> str:
    """A Google-style docstring as Markdown: its sections become lists."""
    out: list[str] = []
    for line in doc.splitlines():
        if line in ("Args:", "Raises:", "Returns:", "Attributes:"):
            out += [f"**{line.removesuffix(':')}**", ""]
        elif match := re.match(r"^    (\w+): (.*)", line):
            out.append(f"- `{match[1]}`: {match[2]}")
        elif line.startswith("        "):
            out.append(f"  {line.strip()}")
        else:
            out.append(line)
    return "\n".join(out)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
