"""What a deployment file says: facts with their origin and place, gathered into one `Deployment` per model served."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, Literal, TypeVar

from moesize.gate.document import Position

T = TypeVar("T")

Engine = Literal["vllm", "sglang", "tgi", "llama.cpp", "tensorrt-llm", "ollama", "transformers", "unknown"]


class Source(IntEnum):
    """Where a value comes from; the higher one is the surer one."""

    DEFAULT = 0
    INFERRED = 1
    CHECKPOINT = 2
    STATED = 3


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A value, how it is known and where it stands (None for an engine's own default)."""

    value: T
    source: Source
    where: Position | None = None


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """One kind of GPU a deployment may run on; several choices mean any of them, so the worst one decides.

    `name` is written as in the file: `by` says in which vocabulary. `memory` is a requirement instead of a type.
    """

    name: Fact[str]
    by: Literal["gpu", "instance", "memory", "pool"]
    #: GPUs per pod under this choice, where the choice itself says so (`H100:8`, an instance type).
    count: Fact[int] | None = None
    #: GiB one GPU offers, where the file says so: a memory label, a MIG profile, a range's lower end.
    memory_gib: Fact[float] | None = None
    #: The MIG profile (`4g.71gb`), when the GPU is a slice of one.
    mig: str | None = None
    #: Time-sliced: the memory is not the pod's alone.
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a setting that a finding may tell: `setting` in this package's words, `text` in the file's.

    ignored: the chart or platform does not read the key it stands under; repeated: given more than once, the last one
    wins; unresolved: refers to something the file does not say; unreadable: not a value the setting can take.
    """

    kind: Literal["ignored", "repeated", "unresolved", "unreadable"]
    setting: str
    text: str
    where: Position


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model served by one group of pods: everything the file states about it, nothing filled in.

    A group is `nodes` pods of `gpu_count` GPUs that hold one copy together; `replicas` groups run beside each other.
    """

    format: str
    kind: str
    namespace: str | None
    name: str
    container: str | None
    where: Position
    engine: Fact[Engine]
    #: prefill or decode, where the two are served apart and each has its own verdict.
    role: str | None = None
    engine_version: Fact[str] | None = None
    #: Hub id, path, URI or image as the engine gets it.
    model: Fact[str] | None = None
    #: What the model may be called in a catalogue, best first: the id itself, or what a path or a label hints at.
    model_candidates: tuple[Fact[str], ...] = ()
    revision: Fact[str] | None = None
    quantization: Fact[str] | None = None
    #: What the name of the model says (`-AWQ`, `Q4_K_M`); a checkpoint's own description is surer.
    quantization_hint: Fact[str] | None = None
    dtype: Fact[str] | None = None
    kv_cache_dtype: Fact[str] | None = None
    #: Tokens of one sequence; -1 where the engine is told to choose. For llama.cpp all slots together.
    max_model_len: Fact[int] | None = None
    max_num_seqs: Fact[int] | None = None
    #: Sequences at once the file itself asks for (the plain form); servers only state their limit above.
    concurrency: Fact[int] | None = None
    max_num_batched_tokens: Fact[int] | None = None
    tensor_parallel: Fact[int] | None = None
    pipeline_parallel: Fact[int] | None = None
    data_parallel: Fact[int] | None = None
    #: Data-parallel ranks share the tensor-parallel group's GPUs instead of multiplying them (SGLang).
    dp_attention: Fact[bool] | None = None
    expert_parallel: Fact[bool] | None = None
    redundant_experts: Fact[int] | None = None
    #: Share of the memory the engine may use: of the total, for TensorRT-LLM of what the weights leave.
    gpu_memory_utilization: Fact[float] | None = None
    kv_cache_memory_bytes: Fact[int] | None = None
    cpu_offload_gib: Fact[float] | None = None
    enforce_eager: Fact[bool] | None = None
    draft_model: Fact[str] | None = None
    speculative_method: Fact[str] | None = None
    speculative_tokens: Fact[int] | None = None
    #: Ranks of a tensor-parallel group that share a sequence's cache.
    decode_context_parallel: Fact[int] | None = None
    prefix_caching: Fact[bool] | None = None
    max_cudagraph_capture_size: Fact[int] | None = None
    #: Vision and audio towers are left out.
    language_model_only: Fact[bool] | None = None
    max_loras: Fact[int] | None = None
    #: llama.cpp: layers on GPUs, and whether experts are kept in host memory.
    gpu_layers: Fact[int] | None = None
    experts_on_cpu: Fact[bool] | None = None
    #: What runs it when no GPU does: cpu, tpu, neuron, gaudi.
    device: Fact[str] | None = None
    gpus: tuple[GpuChoice, ...] = ()
    gpu_count: Fact[int] | None = None
    nodes: Fact[int] | None = None
    replicas: Fact[int] | None = None
    #: False for a model its chart is told not to deploy.
    enabled: bool = True
    notes: tuple[Note, ...] = ()
    #: Reasons by finding id, from `moesize.dev/ignore-<id>` annotations.
    ignores: Mapping[str, Fact[str]] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Kind, namespace, name and container: what stays the same when lines move."""
        parts = (self.kind, self.namespace, self.name, self.role, self.container)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or document that could not be read, or not to the end."""

    kind: Literal["missing", "unreadable", "too-large", "outside", "invalid", "too-complex", "template"]
    text: str
    where: Position


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Everything read from some paths, in the order of files and lines."""

    deployments: tuple[Deployment, ...]
    problems: tuple[Problem, ...]
    files_read: int
    documents_read: int
