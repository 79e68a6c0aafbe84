"""Readers of files that no command takes from the user: GPU and instance files of the catalogue."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from unittest.mock import patch

from moesize.data import read_yaml
from moesize.errors import MoesizeError
from moesize.hardware import instances
from moesize.hardware.gpu import GpuSpec
from moesize.hardware.spec_file import parse_gpu, parse_slices


def run(words: tuple[str, ...]) -> int:
    """Reads a file as the catalogue would, and says what came of it as a command does."""
    try:
        sys.stdout.write(_READERS[words[0]](Path(words[1])))
    except MoesizeError as error:
        sys.stderr.write(f"moesize: {error}\n")
        return 2
    return 0


def _gpu(path: Path) -> str:
    raw = read_yaml(path)
    spec = parse_gpu(path, raw, path.stem)
    slices = parse_slices(path, raw)
    _must(spec)
    shown = {"name": spec.name, "memory_bytes": spec.memory_bytes, "mig": sorted(slices), "notes": spec.notes}
    return json.dumps(shown, ensure_ascii=True) + "\n"


def _must(spec: GpuSpec) -> None:
    """What every GPU satisfies."""
    assert 0 < spec.memory_low_bytes <= spec.memory_bytes <= spec.memory_high_bytes, "memory is no interval"
    rates = (*spec.tflops_dense.values(), spec.bandwidth_bytes_per_second or 1, spec.host_bytes_per_second or 1)
    assert all(0 < rate < float("inf") for rate in rates), "a rate is not positive"


def _instances(path: Path) -> str:
    instances._cloud.cache_clear()  # noqa: SLF001  what it caches is the catalogue's own
    try:
        with patch.object(instances, "data_dir", lambda _: path.parent.parent):
            found = instances._cloud(path.stem)  # noqa: SLF001
    finally:
        instances._cloud.cache_clear()  # noqa: SLF001
    for one in found:
        assert one.gpu_count > 0, "an instance without GPUs"
        assert one.usd_per_hour is None or 0 < one.usd_per_hour < float("inf"), "a price that is none"
        assert 0 < one.gpu_fraction <= 1, f"a share of {one.gpu_fraction}"
    return (
        json.dumps([asdict(one) | {"gpu_fraction": str(one.gpu_fraction)} for one in found], ensure_ascii=True) + "\n"
    )


_READERS: dict[str, Callable[[Path], str]] = {"@gpu": _gpu, "@instances": _instances}
