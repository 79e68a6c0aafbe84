"""What a sizing question is answered with (schema `moesize.check/1`): every field is defined here, once.

Bytes are integers; per GPU means the fullest rank. These are plain dataclasses, because a terminal report should not
pay for pydantic: `moesize.report_model.CheckReport` is the pydantic model over them, `moesize.report.json` writes them.
"""

from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal["fits", "tight", "oom"]
OomAt = Literal["load", "kv_cache", "runtime"]

SCHEMA: Final = "moesize.check/1"


@dataclass(slots=True, eq=False, repr=False)
class Params:
    """Parameter counts under every convention vendors use."""

    total: int
    active: int
    active_excluding_input_embedding: int
    active_excluding_embeddings: int
    by_role: dict[str, int]


@dataclass(slots=True, eq=False, repr=False)
class Experts:
    """Experts of a layer; zeros for a dense model."""

    routed: int
    shared: int
    per_token: int


@dataclass(slots=True, eq=False, repr=False)
class Model:
    """The model that was sized."""

    name: str
    source: str
    architecture: str
    layers: int
    moe_layers: int
    context_length: int | None
    params: Params
    experts: Experts


@dataclass(slots=True, eq=False, repr=False)
class Quant:
    """How its weights are stored."""

    name: str
    bits_per_weight: float
    checkpoint_bytes: int


@dataclass(slots=True, eq=False, repr=False)
class Gpu:
    """The card; `memory_bytes` is what the driver lets a process see of one."""

    name: str
    count: int
    memory_bytes: int


@dataclass(slots=True, eq=False, repr=False)
class LayoutOut:
    """How the model is spread.

    `ep` is the number of ranks the experts are spread over, `dcp` of those that share a sequence's cache (1 = not).
    """

    tp: int
    pp: int
    dp: int
    ep: int
    dcp: int = 1


@dataclass(slots=True, eq=False, repr=False)
class EngineOut:
    """The serving engine whose rules were used."""

    name: str
    version: str


@dataclass(slots=True, eq=False, repr=False)
class WorkloadOut:
    """What was asked for; `context_source` says where the context comes from."""

    context: int
    context_source: Literal["given", "default"]
    concurrency: int
    kv_dtype: str
    gpu_memory_utilization: float | None
    max_num_batched_tokens: int | None
    max_num_seqs: int | None
    speculative: str | None = None


@dataclass(slots=True, eq=False, repr=False)
class PerGpu:
    """The receipt of the fullest rank. weights + kv_cache + activation + runtime = total; budget − total = headroom."""

    budget_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    runtime_bytes: int
    total_bytes: int
    headroom_bytes: int
    total_low_bytes: int
    total_high_bytes: int
    outside_budget_bytes: int


@dataclass(slots=True, eq=False, repr=False)
class KvCache:
    """The cache of one data-parallel replica; None where the model's makers do not say what it keeps."""

    bytes_per_token: int | None
    bytes_per_token_in_window: int | None
    state_bytes_per_sequence: int | None
    pool_bytes: int | None
    pool_tokens: int | None
    max_context: int | None
    max_concurrency: float | None


@dataclass(slots=True, eq=False, repr=False)
class Compute:
    """Work per token, and the bounds that bandwidth, peak rate and links set at the asked concurrency.

    `bytes_read_per_step` is of the busiest rank; tokens per second are of all sequences of all replicas. Weights in
    host memory are of all GPUs together: `host_read_bytes_per_token` the CPU reads there to compute with,
    `host_link_bytes_per_token` crosses to and from the GPUs. `bound_leaves_out` says that host memory's bandwidth was
    needed and not given, so that the bound is that of the GPUs and links alone.
    """

    flops_per_token: int
    prefill_flops_per_token: int
    flops_by_role: dict[str, int]
    bytes_read_per_step: int
    experts_touched_per_layer: float
    decode_tokens_per_second_bound: float | None
    seconds_to_first_token_bound: float | None
    bound_by: Literal["bandwidth", "compute", "host link", "all-to-all", "host memory"] | None
    host_weights_bytes: int
    host_read_bytes_per_token: int
    host_link_bytes_per_token: int
    host_bandwidth_bytes_per_second: float | None
    bound_leaves_out: Literal["host memory"] | None


@dataclass(slots=True, eq=False, repr=False)
class TermOut:
    """One line of the receipt: what, how many bytes (with the interval seen), how it was obtained, from what."""

    term: str
    category: Literal["weights", "kv_cache", "activation", "runtime"]
    bytes: int
    low_bytes: int
    high_bytes: int
    in_budget: bool
    basis: Literal["counted", "engine rule", "calibrated", "given"]
    formula: str
    source: str


@dataclass(slots=True, eq=False, repr=False)
class Suggestion:
    """A change that was tried through the same estimator, and what came out."""

    change: str
    option: str
    verdict: Verdict
    weights_bytes: int
    headroom_bytes: int
    note: str = ""


@dataclass(slots=True, eq=False, repr=False)
class CheckResult:
    """The answer.

    `terms` and the four sums of `per_gpu` are the same bytes; `suggestions` were each tried through the same estimator.
    """

    schema: Literal["moesize.check/1"]
    model: Model
    quant: Quant
    gpu: Gpu
    layout: LayoutOut
    engine: EngineOut
    workload: WorkloadOut
    per_gpu: PerGpu
    kv_cache: KvCache
    compute: Compute
    terms: list[TermOut]
    verdict: Verdict
    oom_at: OomAt | None
    reasons: list[str]
    suggestions: list[Suggestion]
    predicted_log: list[str]
    notes: list[str]
