"""What the probe's tests share: a small real model, a device whose bytes need not be touched, and torch's own profiler."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from moesize.engines.base import EngineOptions
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.probe.cpu import Cpu
from moesize.probe.plan import Plan, make_plan

SMALL = "granite-3.1-1b-a400m"


def plan_of(device: Cpu, model: str | ModelSpec, *, tokens: int = 16, seqs: int = 4, **asked: Any) -> Plan:
    spec = model if isinstance(model, ModelSpec) else load_model(model, offline=True)
    asked = {"layers": 1, "context": 64} | asked
    options = EngineOptions(max_num_batched_tokens=tokens, max_num_seqs=seqs)
    return make_plan(spec, device.facts, options=options, **asked)


def cut(spec: ModelSpec, layers: set[int]) -> ModelSpec:
    """The model with these layers alone."""
    kept = []
    for tensor in spec.tensors:
        if tensor.layers is None:
            kept.append(tensor)
        elif mine := tuple(i for i in tensor.layers if i in layers):
            kept.append(tensor.only(mine))
    caches = [replace(c, layers=tuple(i for i in c.layers if i in layers)) for c in spec.caches]
    return replace(spec, tensors=tuple(kept), caches=tuple(c for c in caches if c.layers))


@contextmanager
def torch_profile(path: Path) -> Iterator[dict[str, int]]:
    """Bytes torch's profiler counts inside: `peak` over the run, and `end`, what is alive after it."""
    found: dict[str, int] = {}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        yield found
    trace = path / "trace.json"
    profiler.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    deltas = sorted((e["ts"], e["args"]["Ev Idx"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]")
    alive, levels = 0, [0]
    for _, _, n_bytes in deltas:
        alive += n_bytes
        levels.append(alive)
    found |= {"peak": max(levels), "end": alive}
