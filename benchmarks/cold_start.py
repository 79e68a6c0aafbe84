"""Wall time and memory of `moesize check` against a bare interpreter that imports what the command imports.

Run: python -m benchmarks.cold_start [--runs N]. The imports are those the command itself made, asked of it before the
run, without moesize's own modules. Prints medians and ratios; nothing is asserted here.
"""

import argparse
import json
import subprocess
import sys

from benchmarks.measure import Command, show, side_by_side

#: What pyproject.toml declares and the offline path may use, imported as a user of these libraries would.
DECLARED = "import typer, rich.console, rich.table, pydantic, yaml"
CHECKS = {
    "check that fits": ["mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2"],
    "check that does not fit": ["mixtral-8x7b", "--gpu", "A10G", "--quant", "gptq-4bit"],
    "check, JSON": ["mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2", "--format", "json"],
}
_IMPORTED = """
import json, sys
before = set(sys.modules)
from moesize.cli.main import main
main(json.loads(sys.argv[1]))
names = [name for name in sys.modules if name not in before and name.partition(".")[0] != "moesize"]
print(json.dumps(names), file=sys.stderr)
"""


def imports_of(words: list[str]) -> str:
    """A program that imports all a command imports, in its order, moesize's own modules left out."""
    command = [sys.executable, "-c", _IMPORTED, json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = json.loads(done.stderr.splitlines()[-1])
    # `import a.b` spells what an identifier can; a few (rich's tables of one Unicode version) are no identifiers
    return "from importlib import import_module\nfor name in " + repr(names) + ":\n    import_module(name)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    same = imports_of(["check", *CHECKS["check that fits"]])
    commands = {
        "bare interpreter": Command([sys.executable, "-c", "pass"]),
        "its libraries, as declared": Command([sys.executable, "-c", DECLARED]),
        "the same imports": Command([sys.executable, "-c", same]),
    }
    for name, words in CHECKS.items():
        commands[name] = Command([sys.executable, "-m", "moesize", "check", *words])
    show(side_by_side(commands, runs), "the same imports")


if __name__ == "__main__":
    main()
