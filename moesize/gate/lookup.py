"""Models and GPUs by the names files give them, each loaded once; nothing here trusts a name to be a path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from moesize.errors import MoesizeError, printable
from moesize.gate.confined import read_spec
from moesize.gate.contradictions import differing
from moesize.gate.discover import shown
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.locked import LockedModels
from moesize.gate.policy import SPEC_SUFFIXES, Policy
from moesize.gate.resolve import resolve_gpus
from moesize.hardware.gpu import GpuSpec, fraction_of, load_gpu
from moesize.model import catalogue
from moesize.model.names import Match
from moesize.model.spec import ModelSpec

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


#: Endings of packagings that no quantisation is known by, and NIM's way to write a version: `-v01` is `-v0.1`.
_PACKAGING: Final = re.compile(
    r"(?:[-_.](?:auto-?round|int[48]|w[48]a(?:16|8)|[48]bit|dynamic|block|kv|[\d.]{1,6}bpw|gguf|\d{4}))+$",
    re.IGNORECASE,
)
_CACHES: Final = ("cache", "states")
_NIM_VERSION: Final = re.compile(r"-v0(\d)$")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model, the name it was found under, and how sure that name is."""

    spec: ModelSpec
    name: str
    source: Source
    #: Said where a model of the catalogue stands in for a copy of it.
    note: str | None = None
    #: Where a locked spec of that name says something else than the catalogue.
    lock_doubt: str | None = None


@dataclass(frozen=True, slots=True)
class FoundGpu:
    """A GPU and how many of it an instance has, where an instance was named."""

    spec: GpuSpec
    count: int | None = None


@dataclass(slots=True)
class Lookup:
    """The catalogue, the locked specs and, when allowed, the Hub: each name is looked up once."""

    locked: LockedModels
    online: bool = False
    #: Where spec files of its `[models]` lie.
    policy: Policy = field(default_factory=Policy)
    #: Specs of the catalogue, which several trees may share.
    specs: dict[Match, ModelSpec] = field(default_factory=dict)
    _stand_ins: dict[str, str] = field(default_factory=dict)
    _doubts: dict[str, str] = field(default_factory=dict)
    _models: dict[str, ModelSpec | str] = field(default_factory=dict)
    _gpus: dict[tuple[str, str, str | None, float | None, str], tuple[FoundGpu, ...] | str] = field(
        default_factory=dict
    )

    def model(
        self, candidates: tuple[Fact[str], ...], given: str | None, models: Mapping[str, str]
    ) -> FoundModel | str:
        """The model of the first name that is known, or a sentence why none is.

        A policy's entry for the name the file gives, or for a candidate, wins.
        """
        for name in dict.fromkeys([given or "", *(c.value for c in candidates)]):
            if name in models:
                spec = self._trusted(models[name])
                if isinstance(spec, str):
                    return spec
                return FoundModel(spec, models[name], Source.STATED)
        why = ""
        for candidate in candidates:
            spec = self._spec(candidate.value)
            if not isinstance(spec, str):
                note, doubt = self._stand_ins.get(candidate.value), self._doubts.get(candidate.value)
                return FoundModel(spec, candidate.value, candidate.source, note, doubt)
            why = why or spec
        return why or "the file does not say which model"

    def _trusted(self, reference: str) -> ModelSpec | str:
        """A reference of the policy's own, which may be a spec file beside it."""
        key = f"policy:{reference}"
        if key not in self._models and reference.endswith(SPEC_SUFFIXES):
            try:
                self._models[key] = read_spec(self.policy.file(reference, "models"), self.policy.reach)
            except MoesizeError as error:
                self._models[key] = str(error)
        return self._models[key] if key in self._models else self._spec(reference)

    def _spec(self, name: str) -> ModelSpec | str:
        if name not in self._models:
            try:
                self._models[name] = self._load(name)
            except MoesizeError as error:
                self._models[name] = str(error)
        return self._models[name]

    def _load(self, name: str) -> ModelSpec | str:
        if catalogue.knows(name):
            spec = self._of_catalogue(catalogue.find(name))
            self._doubt_of_known(name, spec)
            return spec
        locked = self.locked.find(name)
        if locked is not None:
            self._doubt_of_namesake(name, locked)
            return locked
        if self.online and HUB_ID.fullmatch(name):
            from moesize.model import hub  # noqa: PLC0415  the network's modules are heavy

            return hub.load(name)
        match = catalogue.same_name(name) or catalogue.same_name(_without_packaging(name))
        if match is None:
            return f"{name} is not in the catalogue"
        spec = self._of_catalogue(match)
        if HUB_ID.fullmatch(name):
            self._stand_ins[name] = f"{spec.name} of the catalogue stands in for {name}"
        return spec

    def _doubt_of_known(self, name: str, spec: ModelSpec) -> None:
        """The catalogue has this very id and is believed; what a locked spec says of it else is told."""
        path = self.locked.path(name)
        if path is None:
            return
        try:
            said = differing(read_spec(path, self.locked.root), spec, ("parameters", "weights", *_CACHES, "context"))
        except MoesizeError as error:
            said = [f"nothing that can be read ({printable(str(error))})"]
        if said:
            where = shown(path, self.locked.root)
            self._doubts[name] = f"{where} says {', '.join(said)}; {spec.name} of the catalogue is taken"

    def _doubt_of_namesake(self, name: str, locked: ModelSpec) -> None:
        """The catalogue has a model called the same: another's copy has its shapes, whatever it is stored in."""
        match = catalogue.same_name(name) or catalogue.same_name(_without_packaging(name))
        if match is None:
            return
        spec = self._of_catalogue(match)
        said = differing(locked, spec, ("parameters", *_CACHES))
        path = self.locked.path(name)
        if said and path is not None:
            where = shown(path, self.locked.root)
            self._doubts[name] = f"{where} says {', '.join(said)} of {spec.name} in the catalogue, and is taken"

    def _of_catalogue(self, match: Match) -> ModelSpec:
        if match not in self.specs:
            self.specs[match] = catalogue.load_match(match)
        return self.specs[match]

    def gpus(self, choice: GpuChoice, format_name: str, pools: Mapping[str, str]) -> tuple[FoundGpu, ...] | str:
        """What a choice can mean, several where its name leaves the memory open, or a sentence why it means nothing."""
        name = choice.name.value
        if name in pools:
            return self.named_gpu(pools[name])
        memory = choice.memory_gib.value if choice.memory_gib else None
        key = (name, choice.by, choice.mig, memory, format_name)
        if key not in self._gpus:
            try:
                found = resolve_gpus(choice, format_name)
                self._gpus[key] = tuple(
                    FoundGpu(fraction_of(load_gpu(g.name), Fraction(g.fraction).limit_denominator(64)), g.count)
                    for g in found
                )
            except MoesizeError as error:
                self._gpus[key] = str(error)
        return self._gpus[key]

    def named_gpu(self, name: str) -> tuple[FoundGpu, ...] | str:
        """The GPU of a policy's name."""
        key = (name, "policy", None, None, "")
        if key not in self._gpus:
            try:
                self._gpus[key] = (FoundGpu(load_gpu(name)),)
            except MoesizeError as error:
                self._gpus[key] = str(error)
        return self._gpus[key]


def _without_packaging(name: str) -> str:
    """A repository's or file's name without what tells only how it was packed."""
    return _NIM_VERSION.sub(r"-v0.\1", _PACKAGING.sub("", name))
