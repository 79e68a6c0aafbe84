"""`moesize gate`: do the deployments in these files fit the GPUs they ask for?"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from moesize.cli import options as opt
from moesize.cli import output
from moesize.cli.progress import Bar
from moesize.errors import InputError
from moesize.gate.results import GateResult

Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH…", help="Files and folders with deployments.", show_default=False),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="Policy file; default: moesize.toml, or [tool.moesize] in pyproject.toml."),
]


class GateFormat(StrEnum):
    """How the result is written; the names are those of `moesize.report.gate`."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    GITHUB = "github"
    SARIF = "sarif"
    JUNIT = "junit"


FormatName = Annotated[
    GateFormat, typer.Option("--format", "-f", help="text, json, markdown, github, sarif or junit, to the terminal.")
]
Outputs = Annotated[
    list[str] | None,
    typer.Option("--output", "-o", help="FORMAT=PATH, several times; a path alone takes --format.", show_default=False),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on", help="error, warning, undecided, note, never, rule ids; comma-separated.", show_default=False
    ),
]
DefaultGpu = Annotated[str | None, typer.Option("--gpu", "-g", help="GPU of deployments whose files name none.")]
Baseline = Annotated[Path | None, typer.Option("--baseline", help="Findings to leave alone, from --write-baseline.")]
WriteBaseline = Annotated[Path | None, typer.Option("--write-baseline", help="Write what is found now as a baseline.")]
Diff = Annotated[str | None, typer.Option("--diff", help="Compare with a folder or a git revision.", metavar="BASE")]
AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="Finding no deployment is no error.")]
IncludeDisabled = Annotated[bool, typer.Option("--include-disabled", help="Judge what is switched off too.")]
Online = Annotated[bool, typer.Option("--online/--offline", help="Ask the Hub for models the catalogue has not.")]
Explain = Annotated[str | None, typer.Option("--explain", help="Show the page of a rule.", metavar="RULE")]


def gate(
    paths: Paths = None,
    policy: PolicyFile = None,
    fmt: FormatName = GateFormat.TEXT,
    outputs: Outputs = None,
    fail_on: FailOn = None,
    gpu: DefaultGpu = None,
    baseline: Baseline = None,
    write_baseline: WriteBaseline = None,
    diff: Diff = None,
    allow_empty: AllowEmpty = False,
    include_disabled: IncludeDisabled = False,
    online: Online = False,
    explain: Explain = None,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> int:
    """Do the deployments in these files fit? Exit status: 0 yes, 1 findings that fail the build, 2 no answer."""
    if explain:
        sys.stdout.write(_page(explain))
        return 0
    if not paths:
        raise InputError("no path is given; `moesize gate deploy/` reads a folder")
    from moesize.gate.changes import compared  # noqa: PLC0415  --explain needs none of it
    from moesize.gate.policy import fail_on as parse_fail_on  # noqa: PLC0415
    from moesize.gate.policy import find_policy, load_policy, with_gpu  # noqa: PLC0415
    from moesize.gate.run import Run, with_baseline  # noqa: PLC0415

    detail = output.detail(quiet=quiet, verbose=verbose)
    targets = _targets(fmt.value, outputs or [])
    root = Path.cwd()
    rules = load_policy(policy or find_policy(root), root)
    if gpu:
        rules = with_gpu(rules, gpu)
    if fail_on is not None:
        from dataclasses import replace  # noqa: PLC0415

        rules = replace(rules, fail_on=parse_fail_on(fail_on))
    run = Run(root=root, policy=rules, online=online, allow_empty=allow_empty, include_disabled=include_disabled)
    run = with_baseline(run, baseline)
    with Bar("reading", quiet=quiet) as progress:
        result = run.gate(paths, progress)
    if diff is not None:
        result = compared(run, result, paths, diff)
    if write_baseline is not None:
        _write_baseline(result, write_baseline)
    for name, path in targets:
        from moesize.report.gate import renderer  # noqa: PLC0415

        if name == "text":
            from moesize.report.gate.text import styled  # noqa: PLC0415

            output.show(styled(result, detail), path)
        else:
            output.write(renderer(name)(result), path)
    return result.exit_status


def _targets(fmt: str, outputs: list[str]) -> list[tuple[str, Path | None]]:
    """Formats and where they go; the terminal gets `fmt` unless a path without a format took it.

    Raises:
        UnknownNameError: no such format.
    """
    from moesize.report.gate import FORMATS, renderer  # noqa: PLC0415

    found: list[tuple[str, Path | None]] = []
    terminal: tuple[str, Path | None] = (fmt, None)
    for text in outputs:
        name, separator, path = text.partition("=")
        if separator and path and (name in FORMATS or "/" not in name):
            found.append((name, None if path == "-" else Path(path)))
        else:
            terminal = (fmt, Path(text))
    targets = [*found, terminal] if not any(path is None for _, path in found) else found
    for name, _ in targets:
        renderer(name)
    return targets


def _write_baseline(result: GateResult, path: Path) -> None:
    from moesize.gate.baseline import baseline_text  # noqa: PLC0415
    from moesize.gate.run import baseline_keys  # noqa: PLC0415

    output.write(baseline_text(baseline_keys(result)), path)


def _page(rule: str) -> str:
    """A rule's page.

    Raises:
        UnknownNameError: no such rule.
    """
    from moesize.errors import UnknownNameError  # noqa: PLC0415
    from moesize.gate.rules import RULES  # noqa: PLC0415

    if rule not in RULES:
        raise UnknownNameError("rule", rule, RULES)
    found = RULES[rule]
    return f"{found.id} ({found.level})\n\n{found.page}\n"
