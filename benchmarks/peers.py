"""The same questions to moesize and to other sizers, in one interleaved run: time, memory, install size, answers.

Run: python -m benchmarks.peers [--runs N] [--hf-mem PYTHON] [--vramcalc PYTHON] [--llmfit PYTHON]
[--aiconfigurator PYTHON], each the interpreter of a virtual environment into which that tool alone was installed; a
tool that is not named, or whose command is not there, is left out with a line that says so. Nothing leaves the
machine: a tool that asks the Hub is pointed at benchmarks/hub_stand_in.py.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.install_size import Size, installed
from benchmarks.measure import Command, Figures, side_by_side
from benchmarks.peer_tools import CONTEXT, PEERS, QUESTIONS, ROOT, Answer, Moesize, MoesizeHub, Place, Question, Tool


def tools(given: Mapping[str, Path | None]) -> Iterator[Tool]:
    """Those that are installed; a line for each that is not."""
    yield Moesize(Path(sys.executable))
    yield MoesizeHub(Path(sys.executable))
    for kind in PEERS:
        python = given[kind.name]
        if python is None:
            print(f"{kind.name}: left out, --{kind.name} names no interpreter")
            continue
        look = f"import importlib.metadata as m; print(m.version({kind.name!r}))"
        done = subprocess.run([python, "-c", look], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{kind.name}: left out, {python} has no {kind.name}")
            continue
        print(f"{kind.name}: {done.stdout.strip()}")
        yield kind(python)


@contextmanager
def working_place() -> Iterator[Place]:
    """Configurations in a temporary folder, and the stand-in of the Hub in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in {question.model for question in QUESTIONS}:
            document: dict[str, Any] = yaml.safe_load((ROOT / "model_specs" / f"{model}.yaml").read_bytes())
            (folder / model).mkdir()
            (folder / model / "config.json").write_text(json.dumps(document["config"]), encoding="utf-8")
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hub_stand_in"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        try:
            assert server.stdout  # asked for above
            yield Place(folder, server.stdout.readline().strip())
        finally:
            server.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    for kind in PEERS:
        parser.add_argument(f"--{kind.name}", type=Path, dest=kind.name)
    given = vars(parser.parse_args())
    asked = list(tools(given))
    ratios: dict[str, list[float]] = {tool.name: [] for tool in asked}
    peaks: dict[str, list[float]] = {tool.name: [] for tool in asked}
    with working_place() as place:
        for question in QUESTIONS:
            figures = _ask(question, asked, place, given["runs"])
            for name, one in figures.items():
                ratios[name].append(one.seconds / figures["moesize"].seconds)
                peaks[name].append(one.peak_mib)
    _summary(asked, ratios, peaks)


def _ask(question: Question, asked: list[Tool], place: Place, runs: int) -> dict[str, Figures]:
    """One question to all tools: their answers are printed, times and memory of those that gave one returned."""
    print(f"\n{question.title}, one sequence of {CONTEXT} tokens")
    commands = {tool.name: tool.command(question, place) for tool in asked}
    figures = side_by_side({name: one for name, one in commands.items() if isinstance(one, Command)}, runs)
    print(f"{'':<18}{'weights':>9}{'KV':>8}{'total':>9}  {'fits':<6}{'wall':>9}{'ratio':>8}")
    _row("known", Answer(question.weights_gib, question.kv_gib, None, question.fits))
    answered = {}
    for tool in asked:
        command = commands[tool.name]
        if isinstance(command, str):
            _row(tool.name, Answer(refusal=command))
            continue
        one = figures[tool.name]
        answer = tool.answer(one.last)
        ratio = one.seconds / figures["moesize"].seconds
        _row(tool.name, answer, f"{one.seconds * 1000:6.0f} ms{ratio:8.2f}")
        if not answer.refusal:
            answered[tool.name] = one
    return answered


def _row(name: str, answer: Answer, times: str = "") -> None:
    if answer.refusal:
        print(f"{name:<18}  no answer: {answer.refusal}")
        return
    figures = (answer.weights_gib, answer.kv_gib, answer.total_gib)
    shown = "".join(f"{'–' if n is None else f'{n:.2f}':>{w}}" for n, w in zip(figures, (9, 8, 9), strict=True))
    fits = {True: "yes", False: "no", None: "–"}[answer.fits]
    print(f"{name:<18}{shown}  {fits:<6}{times}{'  (whole model)' if answer.whole else ''}")


def _summary(asked: list[Tool], ratios: Mapping[str, list[float]], peaks: Mapping[str, list[float]]) -> None:
    print(f"\n{'':<18}{'answers':>8}{'wall ratio':>11}{'peak MiB':>10}{'files MB':>10}{'with .pyc':>11}")
    for tool in asked:
        if not ratios[tool.name]:
            continue
        size = sum(installed(tool.python.parent.parent).values(), Size(0, 0, 0))
        own = isinstance(tool, Moesize)  # its environment here is a developer's: benchmarks/install_size.py measures it
        sizes = f"{'–':>10}{'–':>11}" if own else f"{size.files / 1e6:10.1f}{(size.files + size.bytecode) / 1e6:11.1f}"
        median, peak = statistics.median(ratios[tool.name]), max(peaks[tool.name])
        print(f"{tool.name:<18}{len(ratios[tool.name]):>8}{median:11.2f}{peak:10.0f}{sizes}")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
