"""`python -m scripts.fuzz [--seconds N | --cases N] [--seed N] [--surface NAME]`: fuzz, count, keep what fails.

Each case follows from seed, surface and number alone: `--surface config --seed 1 --first 41 --cases 1` repeats one.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: More than any case may take, other processes included; a case that hangs where no signal reaches ends the run with its stack.
_HANGS_SECONDS = 60
_ADDRESS_SPACE = 2 * 2**30


def main() -> int:
    """Runs the surfaces one after the other, each for its share of the time or its number of cases."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as home, _hub(home) as serve:
        from scripts.fuzz.case import random_of  # noqa: PLC0415  imports moesize, which reads the environment
        from scripts.fuzz.surfaces import SURFACES  # noqa: PLC0415
        from scripts.fuzz.tally import Tally  # noqa: PLC0415
        from scripts.fuzz.watch import run  # noqa: PLC0415

        chosen = [one for one in SURFACES if asked.surface in (None, one.name)]
        if not chosen:
            sys.exit(f"no surface {asked.surface}; there are {', '.join(one.name for one in SURFACES)}")
        _bound_memory()
        tallies: list[Tally] = []
        for surface in chosen:
            tally = Tally(surface)
            tallies.append(tally)
            index, end = asked.first, time.monotonic() + asked.seconds / len(chosen)
            surface.make(random_of(asked.seed, surface.name, 0), 0)  # reads the seeds, which counts for no case
            while index - asked.first < asked.cases if asked.cases else time.monotonic() < end:
                case = surface.make(random_of(asked.seed, surface.name, index), index)
                faulthandler.dump_traceback_later(_HANGS_SECONDS, exit=True)
                outcome = run(case, serve)
                faulthandler.cancel_dump_traceback_later()
                if tally.add(outcome):
                    _keep(asked, surface.name, index, case, outcome)
                index += 1
            print(tally.line(), flush=True)
    if asked.write:
        _write(tallies, asked)
    failed = sum(tally.failed for tally in tallies)
    print(f"{sum(tally.cases for tally in tallies)} cases, {failed} failed (seed {asked.seed})")
    return int(failed > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="in all, shared equally by the surfaces")
    parser.add_argument("--cases", type=int, help="per surface, instead of a time")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--surface", help="only this one")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for cases that fail")
    parser.add_argument("--write", action="store_true", help="write the counts into docs/hardening.md")
    return parser.parse_args()


def _keep(asked: argparse.Namespace, surface: str, index: int, case: Any, outcome: Any) -> None:  # noqa: ANN401
    """The files and words of a case that failed, and what failed."""
    from scripts.fuzz.watch import lay  # noqa: PLC0415

    folder = asked.keep / f"{surface}-{asked.seed}-{index}"
    if not folder.exists():
        folder.mkdir(parents=True)
        lay(case, folder)
        told = {
            "words": case.words,
            "then": case.then,
            "problems": outcome.problems,
            "err": outcome.err[:2000],
            "faults": dict(case.faults),
        }
        (folder / "case.json").write_text(json.dumps(told, indent=1))
        for name, data in case.served.items():
            (folder / f"served-{len(name)}-{name.replace('/', '_')[:40]}").write_bytes(data)
    print(f"  {surface} {index}: {outcome.problems[0][:400]!r}", flush=True)


@contextlib.contextmanager
def _hub(home: str) -> Iterator[Any]:
    """A Hub on this machine, which the environment names before anything reads it; no case can ask another server."""
    from tests.model.hub_server import serving  # noqa: PLC0415  the tests' own server

    for name in [
        name for name in os.environ if name.startswith(("HF_", "HUGGING", "COLUMNS", "FORCE_COLOR", "NO_COLOR"))
    ]:
        del os.environ[name]
    with serving() as hub:
        os.environ |= {
            "HOME": home, "HF_HOME": f"{home}/hf", "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2", "HF_HUB_ETAG_TIMEOUT": "2", "NO_PROXY": "*", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip

        @contextlib.contextmanager
        def serve(case: Any) -> Iterator[None]:  # noqa: ANN401
            hub.requests.clear()
            hub.tokens.clear()
            hub.files, hub.faults = ({case.repository: dict(case.served)} if case.repository else {}), dict(case.faults)
            yield

        yield serve


def _bound_memory() -> None:
    """A memory bomb is an error, not the end of the machine."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + _ADDRESS_SPACE, resource.RLIM_INFINITY))


def _write(tallies: list[Any], asked: argparse.Namespace) -> None:
    """The counts into the docs, between their markers."""
    from scripts.fuzz.tally import table  # noqa: PLC0415

    page = ROOT / "docs" / "hardening.md"
    begin, end = "<!-- fuzz -->\n", "<!-- end of fuzz -->"
    text = page.read_text(encoding="utf-8")
    what = f"`python -m scripts.fuzz --seconds {asked.seconds:g} --seed {asked.seed} --write`"
    head = f"{what}, {datetime.now(tz=UTC):%Y-%m-%d}, CPython {sys.version.split()[0]}:\n\n"
    before, after = text.partition(begin)[0], text.partition(end)[2]
    page.write_text(f"{before}{begin}\n{head}{table(tallies)}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
