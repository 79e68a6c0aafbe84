"""The schema of `gpu_specs/<id>.yaml`: every wrong or missing key is named with its file."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeVar, get_args

from moesize.errors import InputError, printable

Basis = Literal["measured", "derived", "nominal"]

FORMATS = frozenset({"fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4"})
_T = TypeVar("_T")

_TOP = frozenset({
    *("id", "name", "vendor", "category", "architecture", "compute_capability", "aliases", "shared_aliases", "memory"),
    *("mig", "bandwidth_gb_per_s", "tflops_dense", "formats", "interconnect", "tdp_w", "year", "notes", "sources"),
    "derived",
})  # fmt: skip
_MEMORY = frozenset({
    *("nominal_gb", "type", "unified", "usable_total_mib", "basis", "smi_total_mib", "ecc", "observed"),
    *("smi_variants", "options"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Memory of one device in MiB, as the runtime and as `nvidia-smi` report it."""

    nominal_gb: float
    usable_total_mib: int
    basis: Basis
    smi_total_mib: int | None
    unified: bool
    observed_mib: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MigSlice:
    """One MIG profile: its memory and its shares of the multiprocessors and of the memory system."""

    profile: str
    usable_total_mib: int
    basis: Basis
    sm_fraction: float
    memory_fraction: float
    source: str
    note: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """A link to the host or to other devices; `gb_per_s` is one direction, `pcie` generation and lanes."""

    name: str
    gb_per_s: float | None
    pcie: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class GpuFile:
    """One spec file, checked, in the file's own units."""

    name: str
    vendor: str
    category: str
    architecture: str
    compute_capability: tuple[int, int] | None
    memory: MemoryFacts
    mig_slices: tuple[MigSlice, ...]
    bandwidth_gb_per_s: float | None
    tflops_dense: Mapping[str, float]
    formats: frozenset[str]
    host_link: Link | None
    peer_link: Link | None
    tdp_w: float | None
    year: int | None
    notes: tuple[str, ...]
    sources: Mapping[str, str]

    @property
    def mig_profiles(self) -> frozenset[str]:
        """The names of the MIG profiles."""
        return frozenset(piece.profile for piece in self.mig_slices)

    def mig(self, profile: str) -> MigSlice:
        """The slice of a profile in `mig_profiles`."""
        return next(piece for piece in self.mig_slices if piece.profile == profile)


def parse_gpu(path: Path, raw: Mapping[str, Any], gpu_id: str) -> GpuFile:
    """The spec in `raw`, at the memory size `gpu_id` names when the chip is sold with several.

    Raises:
        InputError: a wrong, missing or unknown key; names file and key.
    """
    top = SpecMap(raw, path.name)
    top.only(_TOP)
    if top.text("id") != path.stem:
        top.fail("id", f"is {top.text('id')}, but the file is {path.name}")
    links = top.map("interconnect", optional=True)
    tflops = top.map("tflops_dense")
    tflops.only(FORMATS)
    formats = frozenset(top.texts("formats"))
    if not formats <= FORMATS:
        top.fail("formats", f"has {', '.join(sorted(formats - FORMATS))}; known are {', '.join(sorted(FORMATS))}")
    memory = _memory(top.map("memory"), gpu_id)
    name = top.text("name")
    return GpuFile(
        name=name if gpu_id == path.stem else f"{name} {memory.nominal_gb:g} GB",
        vendor=top.text("vendor"),
        category=top.text("category"),
        architecture=top.text("architecture"),
        compute_capability=_capability(top),
        memory=memory,
        mig_slices=tuple(_mig(piece) for piece in top.maps("mig")),
        bandwidth_gb_per_s=top.number("bandwidth_gb_per_s", optional=True),
        tflops_dense=MappingProxyType({dtype: tflops.positive(dtype) for dtype in tflops.values}),
        formats=formats,
        host_link=_host_link(links),
        peer_link=_link(links.map("link")) if "link" in links.values else None,
        tdp_w=top.number("tdp_w", optional=True),
        year=top.count("year", optional=True),
        notes=tuple(top.texts("notes")),
        sources=_sources(top),
    )


def _memory(memory: "SpecMap", gpu_id: str) -> MemoryFacts:
    memory.only(_MEMORY)
    observed = tuple(entry.whole("mib") for entry in memory.maps("observed"))
    at = memory
    options = memory.maps("options")
    if options:
        chosen = [option for option in options if option.text("id") == gpu_id]
        if not chosen:
            memory.fail("options", f"has no {printable(gpu_id)}")
        at = chosen[0]
    return MemoryFacts(
        nominal_gb=at.positive("nominal_gb"),
        usable_total_mib=at.whole("usable_total_mib"),
        basis=at.one_of("basis", get_args(Basis)),
        smi_total_mib=memory.count("smi_total_mib", optional=True),
        unified=memory.flag("unified"),
        observed_mib=observed,
    )


def _mig(piece: "SpecMap") -> MigSlice:
    return MigSlice(
        profile=piece.text("profile"),
        usable_total_mib=piece.whole("usable_total_mib"),
        basis=piece.one_of("basis", get_args(Basis)),
        sm_fraction=piece.positive("sm_fraction"),
        memory_fraction=piece.positive("memory_fraction"),
        source=piece.text("source"),
        note=piece.text("note") if "note" in piece.values else None,
    )


def _capability(top: "SpecMap") -> tuple[int, int] | None:
    if "compute_capability" not in top.values:
        return None
    major, _, minor = top.text("compute_capability").partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        top.fail("compute_capability", "is not written like '8.6'")
    return int(major), int(minor)


def _host_link(links: "SpecMap") -> Link | None:
    if "host" in links.values:
        return _link(links.map("host"))
    if "pcie" not in links.values:
        return None
    pcie = links.map("pcie")
    generation, lanes = pcie.whole("generation"), pcie.whole("lanes")
    return Link(name=f"PCIe {generation}.0 x{lanes}", gb_per_s=None, pcie=(generation, lanes))


def _link(link: "SpecMap") -> Link:
    return Link(name=link.text("kind"), gb_per_s=link.positive("gb_per_s_bidirectional") / 2)


def _sources(top: "SpecMap") -> Mapping[str, str]:
    """Figure -> address, or how it was derived."""
    found: dict[str, str] = {}
    for entry in top.maps("sources"):
        found.update(dict.fromkeys(entry.texts("figures"), entry.text("url")))
    derived = top.map("derived", optional=True)
    found.update({figure: f"derived: {derived.text(figure)}" for figure in derived.values})
    return MappingProxyType(found)


class SpecMap:
    """One mapping of a data file, read by key and type; every reader raises InputError naming file and key."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def fail(self, key: str, problem: str) -> NoReturn:
        """Refuses the file for one key."""
        raise InputError(f"{self.where}: {key} {problem}")

    def only(self, known: Iterable[str]) -> None:
        """Refuses keys that are not known."""
        for key in self.values:
            if key not in known:
                self.fail(printable(str(key)), "is not a key of this file")

    def get(self, key: str, accept: Callable[[Any], bool], expected: str) -> Any:  # noqa: ANN401  checked by `accept`
        """The value under `key`, if it is accepted."""
        if key not in self.values:
            self.fail(key, "is missing")
        value = self.values[key]
        if not accept(value):
            self.fail(key, f"is {printable(repr(value))}, expected {expected}")
        return value

    def text(self, key: str) -> str:
        """A string that is not empty."""
        return str(self.get(key, lambda v: isinstance(v, str) and v != "", "a string"))

    def one_of(self, key: str, choices: tuple[_T, ...]) -> _T:
        """One of a few values."""
        value: _T = self.get(key, lambda v: v in choices, " or ".join(map(str, choices)))
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self.get(key, lambda v: isinstance(v, bool), "true or false"))

    def whole(self, key: str) -> int:
        """A whole number above 0."""
        return int(self.get(key, _is_whole, "a whole number above 0"))

    def count(self, key: str, *, optional: bool) -> int | None:
        """A whole number above 0, None when it is optional and not there."""
        return None if optional and key not in self.values else self.whole(key)

    def positive(self, key: str) -> float:
        """A number above 0."""
        return float(self.get(key, _is_positive, "a number above 0"))

    def number(self, key: str, *, optional: bool) -> float | None:
        """A number above 0, None when it is optional and not there."""
        return None if optional and key not in self.values else self.positive(key)

    def texts(self, key: str) -> list[str]:
        """A list of strings, empty when not there."""
        if key not in self.values:
            return []
        found: list[str] = self.get(
            key, lambda v: isinstance(v, list) and all(isinstance(x, str) for x in v), "strings"
        )
        return found

    def map(self, key: str, *, optional: bool = False) -> "SpecMap":
        """A mapping, empty when it is optional and not there."""
        if optional and key not in self.values:
            return SpecMap({}, f"{self.where}: {key}")
        return SpecMap(self.get(key, lambda v: isinstance(v, dict), "a mapping"), f"{self.where}: {key}")

    def maps(self, key: str) -> list["SpecMap"]:
        """A list of mappings, empty when not there."""
        if key not in self.values:
            return []
        entries = self.get(key, lambda v: isinstance(v, list) and all(isinstance(x, dict) for x in v), "mappings")
        return [SpecMap(entry, f"{self.where}: {key}[{n}]") for n, entry in enumerate(entries)]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12
