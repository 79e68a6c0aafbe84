"""The schema of `gpu_specs/<id>.yaml`: every wrong or missing key is named with its file."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NoReturn, TypeVar

from moesize.errors import InputError, printable
from moesize.hardware.spec import GpuSpec, pcie_bytes_per_second
from moesize.units import MIB

_T = TypeVar("_T")

BASES: Final[tuple[Literal["measured"], Literal["derived"], Literal["nominal"]]] = ("measured", "derived", "nominal")
FORMATS: Final = frozenset({"fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4"})

_TOP = frozenset({
    *("id", "name", "vendor", "category", "architecture", "compute_capability", "aliases", "shared_aliases", "memory"),
    *("mig", "bandwidth_gb_per_s", "tflops_dense", "formats", "interconnect", "tdp_w", "year", "notes", "sources"),
    "derived",
})  # fmt: skip
_MEMORY = frozenset({
    *("nominal_gb", "type", "unified", "usable_total_mib", "basis", "smi_total_mib", "ecc", "observed"),
    *("smi_variants", "options"),
})  # fmt: skip


_SLICE = frozenset({"profile", "usable_total_mib", "basis", "sm_fraction", "memory_fraction", "source", "note"})


def parse_gpu(path: Path, raw: Mapping[str, Any], gpu_id: str) -> GpuSpec:
    """The GPU a spec file holds, at the memory size `gpu_id` names when the chip is sold with several.

    Raises:
        InputError: a wrong, missing or unknown key; names file and key.
    """
    top = SpecMap(raw, path.name)
    top.only(_TOP)
    if top.text("id") != path.stem:
        top.fail("id", f"is {printable(top.text('id'))}, but the file is {path.name}")
    tflops = top.map("tflops_dense")
    tflops.only(FORMATS)
    formats = frozenset(top.texts("formats"))
    if not formats <= FORMATS:
        top.fail(
            "formats", f"has {printable(', '.join(sorted(formats - FORMATS)))}; known are {', '.join(sorted(FORMATS))}"
        )
    memory = top.map("memory")
    memory.only(_MEMORY)
    size = _at_size(memory, gpu_id)
    usable, nominal = size.whole("usable_total_mib"), size.positive("nominal_gb")
    seen = [usable, *(entry.whole("mib") for entry in memory.maps("observed"))]
    smi = memory.count("smi_total_mib", optional=True)
    bandwidth = top.number("bandwidth_gb_per_s", optional=True)
    links = top.map("interconnect", optional=True)
    host_link, host_rate = _host_link(links)
    peer_link, peer_rate = _link(links.map("link")) if "link" in links.values else (None, None)
    return GpuSpec(
        id=gpu_id,
        name=top.text("name") if gpu_id == path.stem else f"{top.text('name')} {nominal:g} GB",
        vendor=top.text("vendor"),
        category=top.text("category"),
        architecture=top.text("architecture"),
        compute_capability=_capability(top),
        memory_bytes=usable * MIB,
        smi_memory_bytes=None if smi is None else smi * MIB,
        nominal_gb=nominal,
        memory_basis=size.one_of("basis", BASES),
        memory_low_bytes=min(seen) * MIB,
        memory_high_bytes=max(seen) * MIB,
        bandwidth_bytes_per_second=None if bandwidth is None else bandwidth * 1e9,
        tflops_dense=MappingProxyType({dtype: tflops.positive(dtype) for dtype in tflops.values}),
        native_formats=formats,
        host_link=host_link,
        host_bytes_per_second=host_rate,
        peer_link=peer_link,
        peer_bytes_per_second=peer_rate,
        unified=memory.flag("unified"),
        tdp_watts=top.number("tdp_w", optional=True),
        year=top.count("year", optional=True),
        notes=tuple(top.texts("notes")),
        sources=_sources(top),
    )


def parse_slices(path: Path, raw: Mapping[str, Any]) -> dict[str, "SpecMap"]:
    """The MIG slices of a spec file by profile: memory, shares of multiprocessors and memory system, source.

    Raises:
        InputError: a wrong, missing or unknown key; names file and key.
    """
    slices = SpecMap(raw, path.name).maps("mig")
    for piece in slices:
        piece.only(_SLICE)
    return {piece.text("profile"): piece for piece in slices}


def _at_size(memory: "SpecMap", gpu_id: str) -> "SpecMap":
    options = memory.maps("options")
    if not options:
        return memory
    chosen = [option for option in options if option.text("id") == gpu_id]
    if not chosen:
        memory.fail("options", f"has no {printable(gpu_id)}")
    return chosen[0]


def _capability(top: "SpecMap") -> tuple[int, int] | None:
    if "compute_capability" not in top.values:
        return None
    major, _, minor = top.text("compute_capability").partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        top.fail("compute_capability", "is not written like '8.6'")
    return int(major), int(minor)


def _host_link(links: "SpecMap") -> tuple[str | None, float | None]:
    if "host" in links.values:
        return _link(links.map("host"))
    if "pcie" not in links.values:
        return None, None
    pcie = links.map("pcie")
    generation, lanes = pcie.whole("generation"), pcie.whole("lanes")
    return f"PCIe {generation}.0 x{lanes}", pcie_bytes_per_second(generation, lanes)


def _link(link: "SpecMap") -> tuple[str, float]:
    """Name and bytes per second in one direction."""
    return link.text("kind"), link.positive("gb_per_s_bidirectional") * 1e9 / 2


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
