"""The entry point: picks the command, shows errors as one sentence, sets the exit status.

Only the module of the command that is called is imported, so that `moesize check` costs what it needs and no more.
"""

import gc
import sys
from importlib import import_module

import typer

from moesize import __version__
from moesize.cli import output
from moesize.errors import MoesizeError, printable

#: command -> (module of this package, its function or its group of commands)
COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("check", "check"),
    "compare": ("compare", "compare"),
    "plan": ("plan", "plan"),
    "explain": ("explain", "explain"),
    "report": ("report", "report"),
    "gate": ("gate", "gate"),
    "lock": ("lock", "lock"),
    "models": ("models", "app"),
    "model": ("model", "app"),
    "gpus": ("gpus", "app"),
    "quants": ("quants", "quants"),
    "probe": ("probe", "probe"),
    "observe": ("observe", "observe"),
}

#: Commands that may make more garbage than a machine has memory for.
LONG_LIVED = frozenset({"gate", "lock", "report"})

EXIT_FITS = 0
EXIT_DOES_NOT_FIT = 1
EXIT_NO_ANSWER = 2

#: What the parser says of an option repeats the option.
_LONGEST_USAGE = 1000
#: A sentence that lists every known name is no longer.
_LONGEST_SENTENCE = 4000


def build_app(only: str | None = None) -> typer.Typer:
    """The application with all commands, or with the one that is called."""
    app = typer.Typer(
        name="moesize",
        help="Will this model fit on this GPU, and what would? Memory is in GiB (2^30 bytes).",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for command in [only] if only else COMMANDS:
        module, attribute = COMMANDS[command]
        found = getattr(import_module(f"moesize.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command)
        else:
            app.command(command)(found)
    return app


def _version(value: bool) -> None:  # noqa: FBT001  typer passes it by position
    if value:
        sys.stdout.write(f"moesize {__version__}\n")
        raise typer.Exit


def _root(
    _version_shown: bool = typer.Option(  # noqa: FBT001
        False,  # noqa: FBT003
        "--version",
        callback=_version,
        is_eager=True,
        help="Show the version and stop.",
    ),
) -> None:
    """VRAM sizing for Mixture-of-Experts and dense language models: right, measured, instant and offline."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    called = words[0] if words and words[0] in COMMANDS else None
    if called in LONG_LIVED:
        gc.enable()
    output.prepare()
    try:
        result = build_app(called)(words, standalone_mode=False)
        output.flush()
    except MoesizeError as error:
        return _refuse(str(error))
    except OSError as error:  # a path no file can have, or a folder that is closed to us
        where = f"{error.filename}: " if error.filename else ""
        return _refuse(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        sys.stderr.write("moesize: interrupted\n")
        return 130
    except Exception as error:  # noqa: BLE001  usage errors of the parser, which typer does not export
        return _usage_error(error)
    return result if isinstance(result, int) else EXIT_FITS


def _usage_error(error: Exception) -> int:
    """Say what the parser says of a wrong option in one sentence; anything else is a defect and keeps its traceback."""
    say = getattr(error, "format_message", None)
    if say is None:
        raise error
    text = " ".join(say().split())
    if text and "Usage:" not in text:  # a group without a command has shown its help
        path = getattr(getattr(error, "ctx", None), "command_path", "moesize")
        command = " ".join(["moesize", *(word for word in path.split()[1:] if word in COMMANDS)])
        said = printable(f"{text[:1].lower()}{text[1:].removesuffix('.')}", _LONGEST_USAGE)
        _refuse(f"{said}; `{command} -h` shows what there is")
    return EXIT_NO_ANSWER


def _refuse(sentence: str) -> int:
    """Say why there is no answer, in one line whatever the paths and names in it hold."""
    sys.stderr.write(f"moesize: {printable(sentence, _LONGEST_SENTENCE)}\n")
    return EXIT_NO_ANSWER
