"""What every serving engine answers: how much memory it may use, what it spends, and what its KV pool holds."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from moesize.hardware.gpu import GpuSpec
from moesize.memory.layout import Layout
from moesize.model.spec import ModelSpec
from moesize.quant.kv import KvFormat
from moesize.quant.scheme import QuantScheme

Basis = Literal["counted", "engine rule", "calibrated", "given"]
Category = Literal["weights", "kv_cache", "activation", "runtime"]


class Term(NamedTuple):
    """One line of the receipt: bytes on the fullest rank, with the interval they have been seen in.

    Exact terms have `low_bytes == n_bytes == high_bytes`. Terms outside the budget are what an engine leaves to the
    part of the card it does not manage.
    """

    term: str
    category: Category
    n_bytes: int
    low_bytes: int
    high_bytes: int
    basis: Basis
    formula: str
    source: str
    in_budget: bool = True


def exact(term: str, category: Category, n_bytes: int, basis: Basis, formula: str, source: str) -> Term:
    """A term without spread."""
    return Term(term, category, n_bytes, n_bytes, n_bytes, basis, formula, source)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is asked of the server: sequences of `context_tokens` at once, prompt and answer together."""

    context_tokens: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class Speculation:
    """What proposes tokens that the model then verifies.

    Attributes:
        method: `mtp` (the checkpoint's own prediction layers), `eagle`, `eagle3`, `draft_model`, `ngram`, `ngram_gpu`
            or `suffix`.
        tokens: Proposed per sequence and step.
        draft: The model that proposes; None where the method has no weights, or takes the checkpoint's own.
        draft_scheme: What its weights are stored in.
        draft_tp: Ranks it is divided over; None for the model's own tensor parallel size.
    """

    method: str
    tokens: int
    draft: ModelSpec | None = None
    draft_scheme: QuantScheme | None = None
    draft_tp: int | None = None

    def __str__(self) -> str:
        return f"{self.method}, {self.tokens} token{'s' if self.tokens > 1 else ''} ahead" + (
            f" by {self.draft.name}" if self.draft else ""
        )


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of the server; None takes the engine's own default."""

    gpu_memory_utilization: float | None = None
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    enforce_eager: bool = False
    cpu_offload_bytes: int = 0
    kv_cache_memory_bytes: int | None = None
    redundant_experts: int = 0
    mm_encoder_data_parallel: bool = False
    n_gpu_layers: int | None = None
    n_cpu_moe: int | None = None
    flash_attention: bool | None = None
    speculation: Speculation | None = None
    max_cudagraph_capture_size: int | None = None
    prefix_caching: bool | None = None
    language_model_only: bool = False
    flashinfer_sampler: bool | None = None


class Request(NamedTuple):
    """All an engine needs to plan."""

    spec: ModelSpec
    scheme: QuantScheme
    kv_format: KvFormat
    gpu: GpuSpec
    layout: Layout
    workload: Workload
    options: EngineOptions = EngineOptions()
    version: str | None = None


class KvPool(NamedTuple):
    """What the engine reserves for caches on one GPU, and what that holds.

    Attributes:
        n_bytes: The reserve; 0 when nothing is left.
        tokens: Tokens of `context_tokens`-long sequences it holds, over the sequences of one data-parallel replica.
        max_context_tokens: The longest single sequence it holds, capped at what the model allows.
        max_concurrency: Sequences of the asked context at once, per replica.
        needed_bytes: What the asked workload takes on this GPU.
        bytes_per_token: Of the whole model on one replica at the KV dtype, for a long sequence.
        bytes_per_token_in_window: The same while sliding windows still grow.
        state_bytes_per_sequence: Recurrent and convolution states, the whole model.
    """

    n_bytes: int
    tokens: int
    max_context_tokens: int
    max_concurrency: float
    needed_bytes: int
    bytes_per_token: int
    bytes_per_token_in_window: int
    state_bytes_per_sequence: int


class Held(NamedTuple):
    """Weights in one place, by how a step reads them.

    Attributes:
        dense_bytes: Read whole by every step.
        expert_bytes: Routed experts; a step reads those its tokens select.
        cache_share: The part of every sequence's cache that lies beside them.
    """

    dense_bytes: int
    expert_bytes: int
    cache_share: float = 0.0


class Hybrid(NamedTuple):
    """A model computed on GPUs and on the CPU, each with the weights beside it.

    Attributes:
        gpus: What each GPU holds, in order.
        host: What is in host memory.
        crossing_bytes_per_token: Hidden states one token sends over PCIe and back where the CPU computes.
        gpu_batch_tokens: From so many tokens on, a step copies host weights to the first GPU and computes there.
    """

    gpus: tuple[Held, ...]
    host: Held
    crossing_bytes_per_token: int
    gpu_batch_tokens: int


class EnginePlan(NamedTuple):
    """What the engine does on the fullest rank.

    Attributes:
        version: The version whose rules were used.
        device_bytes: What the driver reports the card to have.
        budget_bytes: What the engine lets itself use.
        terms: Every term, in and outside the budget, without the KV cache.
        pool: None when the model's caches cannot be known.
        gpu_memory_utilization: The fraction that was used, given or the engine's own; None for engines without one.
        max_num_batched_tokens: Tokens of one step, likewise.
        max_num_seqs: Sequences of one step, likewise.
        log_lines: What the operator will see, predicted.
        notes: Sentences for the report.
        host_bytes: Weights kept in host memory.
        host_read_bytes_per_token: Of those, what one token needs.
        hybrid: How weights are read, where the CPU computes a part of them.
    """

    version: str
    device_bytes: int
    budget_bytes: int
    terms: tuple[Term, ...]
    pool: KvPool | None
    gpu_memory_utilization: float | None = None
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    log_lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    host_bytes: int = 0
    host_read_bytes_per_token: int = 0
    hybrid: Hybrid | None = None


class Engine(Protocol):
    """One serving engine."""

    name: str

    def plan(self, request: Request) -> EnginePlan:
        """What the engine would do.

        Raises:
            LayoutError: a layout it refuses.
            InputError: a version, option or format it does not have.
        """
        ...
