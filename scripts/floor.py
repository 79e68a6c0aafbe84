"""`python -m scripts.floor [lowest|newest] [--python PATH]`: the tests against other versions of the dependencies.

Makes a virtual environment with the lowest versions `pyproject.toml` allows, or the newest there are, and runs every
test that needs no torch in it. `--keep FOLDER` leaves the environment there for another run.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What the tests need beside the product, of the `dev` extra.
_TOOLS = ("pytest", "pytest-xdist", "gguf", "hypothesis", "jsonschema", "mkdocs")
#: The reference is written with the newest typer, which calls types otherwise than older ones.
_NEWEST_ONLY = ("--deselect", "tests/docs/test_generated.py::test_generated_pages_are_fresh[commands.md]")
#: Older typers import what click deprecates; no user sees it.
_OLD_TYPER = ("-W", "ignore:'click:DeprecationWarning")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def requirements(which: str) -> list[str]:
    """The product's dependencies: each at the lowest version it states, or as it states them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated: list[str] = project["dependencies"]
    if which == "lowest":
        stated = [re.sub(r"^([\w.-]+)>=([\w.]+).*$", r"\1==\2", one) for one in stated]
    tools = [one for one in project["optional-dependencies"]["dev"] if named(one) in _TOOLS]
    return [*stated, *tools]


def named(requirement: str) -> str:
    """The package a requirement is of."""
    match = _NAME.match(requirement)
    return match[0] if match else requirement


def main() -> int:
    """Makes the environment, shows what is in it, runs the tests."""
    parser = argparse.ArgumentParser(prog="python -m scripts.floor", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("which", nargs="?", choices=("lowest", "newest"), default="lowest")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to make the environment with")
    parser.add_argument("--keep", type=Path, help="a folder for the environment, used again when it is there")
    parser.add_argument("tests", nargs="*", help="tests to run; all by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary) / "venv"
        python = folder / "bin" / "python"
        if not python.exists():
            _run(asked.python, "-m", "venv", str(folder))
        quiet = ("install", "--quiet", "--disable-pip-version-check")
        # the newest at each run, whatever an environment that was kept has
        upgrade = ("--upgrade", "--upgrade-strategy", "eager") if asked.which == "newest" else ()
        _run(python, "-m", "pip", *quiet, *upgrade, *requirements(asked.which))
        _run(python, "-m", "pip", *quiet, "--no-deps", "--editable", str(ROOT))
        _run(python, "-m", "pip", "check")
        _run(python, "-m", "pip", "list", "--disable-pip-version-check")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [
            python,
            "-m",
            "pytest",
            "-q",
            *_OLD_TYPER,
            *(_NEWEST_ONLY if asked.which == "lowest" else ()),
            *asked.tests,
        ]
        done = subprocess.run(command, cwd=ROOT, env=environment | {"MOESIZE_TESTS_WITHOUT_TORCH": "1"}, check=False)
    return done.returncode


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


if __name__ == "__main__":
    sys.exit(main())
