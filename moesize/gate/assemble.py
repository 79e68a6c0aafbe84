"""From settings and surroundings to a `Deployment`: texts become typed facts, what cannot be read becomes a note."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from moesize.errors import printable
from moesize.gate.document import Node, Position
from moesize.gate.expansion import is_unresolved
from moesize.gate.facts import Deployment, Engine, Fact, GpuChoice, Note, Source
from moesize.gate.gpus import named_gpu
from moesize.gate.images import is_cpu_image, version_of_image
from moesize.gate.models import candidates, is_path, model_name, quantization_hint
from moesize.gate.settings import Given, Settings

T = TypeVar("T")

ANNOTATION_PREFIX: Final = "moesize.dev/"

#: vLLM's own reading of `32k` (1000) and `32K` (1024): vllm/engine/arg_utils.py `human_readable_int`.
_SUFFIXES: Final = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_INTEGER: Final = re.compile(r"(-?\d{1,15})(?:\.0+)?")
_HUMAN: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)([kmgtKMGT])(?:i?[bB])?")
_SERVED_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(slots=True)
class Draft:
    """What a reader has found for one launch."""

    format: str
    kind: str
    name: str
    where: Position
    engine: str
    settings: Settings
    engine_source: Source = Source.STATED
    namespace: str | None = None
    container: str | None = None
    role: str | None = None
    image: Node | None = None
    gpus: tuple[GpuChoice, ...] = ()
    gpu_count: Fact[int] | None = None
    nodes: Fact[int] | None = None
    replicas: Fact[int] | None = None
    device: Fact[str] | None = None
    enabled: bool = True
    #: Other names of the model: labels, presets.
    hints: list[Fact[str]] = field(default_factory=list)
    annotations: Node | None = None


def complete(draft: Draft) -> Deployment:
    """The deployment a draft amounts to."""
    _apply_annotations(draft)
    typed = _Typed(draft.settings)
    engine: Engine = draft.engine if draft.engine != "nim" else "unknown"  # type: ignore[assignment]
    model = typed.text("model")
    if model:
        name = model_name(model.value)
        model = Fact(name, model.source, model.where)
    hints = list(draft.hints)
    served = typed.text("served_model_name")
    if served and (model is None or is_path(model.value) or _SERVED_ID.fullmatch(served.value)):
        hints.append(served)
    quantization = typed.text("quantization")
    if model and draft.engine == "llama.cpp" and (split := re.fullmatch(r"([\w.-]+/[\w.-]+):([\w-]+)", model.value)):
        model = Fact(split.group(1), model.source, model.where)
        quantization = quantization or Fact(split.group(2), Source.STATED, model.where)
    file = typed.text("gguf_file")
    names = candidates(model, hints)
    version = None
    if draft.image is not None and (text := version_of_image(draft.image.text or "", draft.engine)):
        version = Fact(text, Source.STATED, draft.image.position)
    hinted = file or model
    device = draft.device or typed.text("device") or _cpu_build(draft.image)
    return Deployment(
        format=draft.format,
        kind=draft.kind,
        namespace=draft.namespace,
        name=draft.name,
        container=draft.container,
        where=draft.where,
        engine=Fact(engine, draft.engine_source, draft.where),
        role=draft.role or (role.value if (role := typed.text("role")) and role.value != "null" else None),
        engine_version=version,
        model=model,
        model_candidates=names,
        revision=typed.text("revision"),
        quantization=quantization,
        quantization_hint=quantization_hint(hinted.value, hinted.where) if hinted else None,
        dtype=typed.text("dtype"),
        kv_cache_dtype=typed.text("kv_cache_dtype"),
        max_model_len=typed.integer("max_model_len", allow=("auto",)),
        max_num_seqs=typed.integer("max_num_seqs"),
        concurrency=typed.integer("concurrency"),
        max_num_batched_tokens=typed.integer("max_num_batched_tokens"),
        tensor_parallel=typed.integer("tensor_parallel"),
        pipeline_parallel=typed.integer("pipeline_parallel"),
        data_parallel=typed.integer("data_parallel"),
        dp_attention=typed.switch("dp_attention"),
        expert_parallel=_expert_parallel(typed),
        redundant_experts=typed.integer("redundant_experts") or typed.inside("eplb_config", "num_redundant_experts"),
        gpu_memory_utilization=typed.number("gpu_memory_utilization"),
        kv_cache_memory_bytes=typed.integer("kv_cache_memory_bytes"),
        cpu_offload_gib=typed.number("cpu_offload_gib"),
        enforce_eager=typed.switch("enforce_eager"),
        draft_model=typed.text("draft_model") or typed.inside_text("speculative_config", "model"),
        speculative_method=typed.text("speculative_method") or typed.inside_text("speculative_config", "method"),
        speculative_tokens=(
            typed.integer("speculative_tokens") or typed.inside("speculative_config", "num_speculative_tokens")
        ),
        decode_context_parallel=typed.integer("decode_context_parallel"),
        prefix_caching=typed.switch("prefix_caching"),
        max_cudagraph_capture_size=typed.integer("max_cudagraph_capture_size"),
        language_model_only=typed.switch("language_model_only"),
        max_loras=typed.integer("max_loras"),
        gpu_layers=typed.integer("gpu_layers", allow=("auto", "all")),
        experts_on_cpu=_experts_on_cpu(typed),
        device=None if device and device.value in ("auto", "cuda", "gpu", "rocm") else device,
        gpus=draft.gpus,
        gpu_count=draft.gpu_count,
        nodes=draft.nodes or typed.integer("nodes"),
        replicas=draft.replicas,
        enabled=draft.enabled,
        notes=tuple(sorted((*draft.settings.all_notes(), *typed.notes), key=lambda n: (n.where, n.setting, n.kind))),
        ignores=_ignores(draft.annotations),
    )


def _cpu_build(image: Node | None) -> Fact[str] | None:
    if image is None or not is_cpu_image(image.text or ""):
        return None
    return Fact("cpu", Source.INFERRED, image.position)


class _Typed:
    """Typed views of settings; each setting that cannot be read leaves a note."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notes: list[Note] = []

    def text(self, setting: str) -> Fact[str] | None:
        return self._read(setting, lambda text: text.strip() or None)

    def integer(self, setting: str, allow: tuple[str, ...] = ()) -> Fact[int] | None:
        return self._read(setting, lambda text: -1 if text.lower() in allow else parse_integer(text))

    def number(self, setting: str) -> Fact[float] | None:
        return self._read(setting, _parse_number)

    def switch(self, setting: str) -> Fact[bool] | None:
        return self._read(setting, lambda text: {"true": True, "1": True, "yes": True}.get(text.lower(), False))

    def inside(self, setting: str, key: str) -> Fact[int] | None:
        """A whole number under `key` of a setting that is JSON."""
        found = self._json(setting, key)
        value = parse_integer(found.value) if found else None
        return Fact(value, Source.STATED, found.where) if found and value is not None else None

    def inside_text(self, setting: str, key: str) -> Fact[str] | None:
        """A string under `key` of a setting that is JSON."""
        found = self._json(setting, key)
        return found if found and not is_unresolved(found.value) else None

    def _json(self, setting: str, key: str) -> Fact[str] | None:
        given = self.settings.last(setting)
        if given is None:
            return None
        # a number that is still a reference must not hide the rest
        value = _json_mapping(re.sub(r"(?<=:)\s*\$\{[^}]*\}", "0", given.text)).get(key)
        return None if value is None or value == "" else Fact(str(value), Source.STATED, given.where)

    def _read(self, setting: str, parse: Callable[[str], T | None]) -> Fact[T] | None:
        given: Given | None = self.settings.last(setting)
        if given is None or is_unresolved(given.text):
            return None
        value = parse(given.text.strip())
        if value is None:
            if given.text.strip():
                text = f"{given.spelled} {printable(given.text)}".strip()
                self.notes.append(Note("unreadable", setting, text, given.where))
            return None
        return Fact(value, Source.STATED, given.where)


def parse_integer(text: str) -> int | None:
    """A whole number, also as `32k` (1000) or `32K` (1024) as vLLM takes it; None for anything else."""
    compact = text.strip().replace("_", "")
    if match := _INTEGER.fullmatch(compact):
        return int(match.group(1))
    if match := _HUMAN.fullmatch(compact):
        return int(float(match.group(1)) * _SUFFIXES[match.group(2)])
    return None


def _parse_number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,12}(?:\.\d{1,12})?|\.\d{1,12}", text) else None


def _json_mapping(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if len(text) < 65_536 else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _expert_parallel(typed: _Typed) -> Fact[bool] | None:
    size = typed.integer("expert_parallel_size")
    if size is not None:
        return Fact(size.value > 1, size.source, size.where)
    given = typed.switch("expert_parallel")
    backend = typed.text("all_to_all")
    if given is None and backend and backend.value.startswith(("deepep", "mooncake")):
        # SGLang sets the expert-parallel size to the tensor-parallel one with these backends.
        return Fact(value=True, source=Source.INFERRED, where=backend.where)
    return given


def _experts_on_cpu(typed: _Typed) -> Fact[bool] | None:
    switch = typed.switch("cpu_moe")
    layers = typed.integer("cpu_moe_layers")
    override = typed.text("override_tensor")
    if switch or layers:
        given = switch or layers
        return Fact(value=True, source=Source.STATED, where=given.where) if given and given.value else None
    last = typed.settings.last("override_tensor")
    if override is None and last is not None and "exps" in last.text and "CPU" in last.text:
        return Fact(value=True, source=Source.STATED, where=last.where)
    if override and "exps" in override.value and "CPU" in override.value:
        return Fact(value=True, source=Source.STATED, where=override.where)
    return None


def _apply_annotations(draft: Draft) -> None:
    """`moesize.dev/model`, `/gpu` and `/quant` state what the rest of the file leaves open, and win over it."""
    notes = draft.annotations
    if notes is None:
        return
    for key, setting in (("model", "model"), ("quant", "quantization")):
        node = notes.get(ANNOTATION_PREFIX + key)
        if node is not None and node.text:
            draft.settings.given[setting] = [Given(node.text, node.position, ANNOTATION_PREFIX + key)]
    gpu = notes.get(ANNOTATION_PREFIX + "gpu")
    choice = named_gpu(gpu) if gpu else None
    if choice:
        draft.gpus = (choice,)


def _ignores(annotations: Node | None) -> dict[str, Fact[str]]:
    start = ANNOTATION_PREFIX + "ignore-"
    return {
        key.removeprefix(start): Fact(node.text or "", Source.STATED, node.position)
        for key, node in (annotations.mapping if annotations else {}).items()
        if key.startswith(start)
    }
