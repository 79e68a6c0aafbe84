"""The terms nothing derives: memory outside torch, kernels' scratch, CUDA graphs. From `calibrated.json`.

The file is written by `python -m validation.calibrate` from measured rows: one entry per version era, class of card and
layout, with the median of what was left beside the derived terms and the range seen.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from moesize.engines.vllm.constants import version_key
from moesize.hardware.gpu import GpuSpec
from moesize.memory.layout import Layout
from moesize.model.spec import CacheKind, ModelSpec
from moesize.units import GIB, MIB

_FILE = Path(__file__).with_name("calibrated.json")
#: Major compute capabilities of Hopper and data-centre Blackwell.
_HOPPER = (9, 10)
#: How much wider an interval is where nothing like it was measured.
UNMEASURED = 2.0
#: The same for a version above the newest measured on this kind of card and layout: between the measured eras
#: the middle of the terms moved by a tenth of a GiB, a small part of their range.
_NEWER = 1.25


class Figure(NamedTuple):
    """Bytes and the interval they have been seen in."""

    n_bytes: int
    low_bytes: int
    high_bytes: int

    def wider(self, factor: float) -> "Figure":
        """The same value with an interval `factor` times as wide, not below 0."""
        low = min(self.n_bytes, max(0, round(self.n_bytes - factor * (self.n_bytes - self.low_bytes))))
        return Figure(self.n_bytes, low, round(self.n_bytes + factor * (self.high_bytes - self.n_bytes)))


class Beyond(NamedTuple):
    """What a rank takes beyond the derived terms: kernels' scratch in torch, and memory outside torch."""

    activation: Figure
    non_torch: Figure
    fit: str
    source: str
    unmeasured: str


def card_class(gpu: GpuSpec) -> str:
    """`unified` memory, `amd`, `hopper` (and data-centre Blackwell), or `other`: where the same figures were seen."""
    if gpu.unified:
        return "unified"
    if gpu.vendor.lower() == "amd":
        return "amd"
    capability = gpu.compute_capability
    return "hopper" if capability is not None and capability[0] in _HOPPER else "other"


def layout_kind(layout: Layout) -> str:
    """What communicates: `tensor`, `pipeline`, or `alone`."""
    return "tensor" if layout.tp > 1 else "pipeline" if layout.pp > 1 else "alone"


def beyond(version: tuple[int, ...], gpu: GpuSpec, layout: Layout, *, vision: bool = False) -> Beyond:
    """The measured group a question falls into, or the nearest with a wider interval and a sentence that says so."""
    wanted = (card_class(gpu), layout_kind(layout))
    entries = _document()["beyond"]
    era = next(e["since"] for e in entries if version_key(e["since"]) <= version)
    found = nearest(entries, era, wanted)
    exact = (found["since"], found["gpu"], found["layout"]) == (era, *wanted)
    newest = found["newest"]
    why = ""
    if not exact:
        why = (
            f"no public measurement of vLLM from {era} on with a card of class {wanted[0]}, layout {wanted[1]}; figures"
            f" of {found['gpu']}, {found['layout']} from {found['since']} on stand in, with a wider interval"
        )
    elif era == entries[0]["since"] and version[:2] > version_key(newest)[:2]:
        why = (
            f"no public measurement above vLLM {newest} with a card of class {wanted[0]}, layout {wanted[1]}; its"
            " figures stand in, with a wider interval"
        )
    factor = UNMEASURED if not exact else _NEWER if why else 1.0
    activation = _figure(found["activation_gib"]).wider(factor)
    seen = next((e for e in _document()["vision"] if e["since"] == era), None) if vision else None
    if seen:
        low, high = round(seen["low"] * GIB), round(seen["high"] * GIB)
        activation = Figure(activation.n_bytes, activation.n_bytes + low, activation.n_bytes + high)
        why = (
            why or "the image encoder's part of the profile run was seen anywhere between these bounds in this version"
        )
    return Beyond(
        activation,
        _figure(found["non_torch_gib"]).wider(factor),
        f"{found['rows']} rows, {found['models']} models",
        found["source"],
        why,
    )


def graphs(gpu: GpuSpec, spec: ModelSpec, layers: int, sizes: int) -> tuple[Figure, dict[str, Any]]:
    """CUDA graphs of `layers` layers for `sizes` captured batch sizes, and the entry the figure comes from."""
    card, kind = graph_card(gpu), graph_kind(spec)
    entries = _document()["graphs"]
    found = min(entries, key=lambda e: (e["model"] != kind, e["gpu"] != card, e["gpu"] != "discrete"))
    share = size_share(sizes / found["sizes"])
    value, low, high = (round(found["mib_per_layer"][key] * MIB * layers * share) for key in ("value", "low", "high"))
    return Figure(value, low, high), found


def graph_card(gpu: GpuSpec) -> str:
    """The kinds of cards graphs were seen to differ on."""
    found = card_class(gpu)
    return found if found in ("unified", "amd") else "discrete"


def graph_kind(spec: ModelSpec) -> str:
    """The kinds of models graphs were seen to differ for."""
    if any(cache.kind is CacheKind.INDEXER for cache in spec.caches):
        return "sparse attention"
    return "moe" if spec.experts.routed else "dense"


def size_share(fraction: float) -> float:
    """What a fraction of the captured sizes takes of the memory of all: vLLM's estimate adds one graph like another."""
    return fraction


def nearest(entries: list[dict[str, Any]], era: str, wanted: tuple[str, str]) -> dict[str, Any]:
    """The entry of an era, class of card and layout, or the one that differs least: layout before class before era."""
    eras = list(dict.fromkeys(e["since"] for e in entries))
    at = eras.index(era) if era in eras else 0

    def distance(entry: dict[str, Any]) -> tuple[int, bool, bool, int]:
        apart = abs(eras.index(entry["since"]) - at)
        layout, card = entry["layout"] != wanted[1], entry["gpu"] != wanted[0]
        # Unified memory is shared with the rest of the machine: no other card stands in for it. Ranks on Hopper set up
        # buffers for its switches, some 2 GiB that other cards do not have.
        far = 3 if "unified" in (entry["gpu"], wanted[0]) else 2 if wanted[1] == "tensor" else 1
        return (layout + far * card + apart, layout, card, apart)

    return min(entries, key=distance)


def _figure(gib: dict[str, float]) -> Figure:
    return Figure(*(round(gib[key] * GIB) for key in ("value", "low", "high")))


@cache
def _document() -> dict[str, Any]:
    # JSON, not YAML: a program wrote it, and it is read on every answer.
    document: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return document
