"""A sizing question with every name resolved, and its evaluation: what compare, plan, advice and check all run."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from moesize.engines import load_engine
from moesize.engines.base import EngineOptions, EnginePlan, Request, Workload
from moesize.errors import InputError
from moesize.hardware.gpu import GpuSpec
from moesize.memory.layout import Layout, LayoutError
from moesize.model.spec import CacheKind, ModelSpec
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.kv import KvFormat, kv_format
from moesize.quant.names import resolve_quant
from moesize.quant.scheme import QuantScheme
from moesize.verdict import Judgement, Totals, judge, totals

if TYPE_CHECKING:
    from moesize.calibration import Calibration

DEFAULT_CONTEXT_TOKENS = 8192
#: Engines that cast float32 checkpoints when they load them.
SIXTEEN_BIT_ENGINES = ("vllm", "sglang", "tensorrt-llm", "tgi", "deepspeed")
#: Engines that give each GPU whole layers where others split every layer.
LAYER_SPLIT_ENGINES = ("llama.cpp", "ollama", "transformers")
#: Engines on GGUF files, whose cache is float16 unless told otherwise.
GGUF_ENGINES = ("llama.cpp", "ollama")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in objects."""

    spec: ModelSpec
    scheme: QuantScheme
    kv: KvFormat
    gpu: GpuSpec
    layout: Layout
    workload: Workload
    context_source: Literal["given", "default"]
    engine: str
    version: str | None
    options: EngineOptions
    calibration: "Calibration | None" = None


class Evaluation(NamedTuple):
    """A plan and what follows from it."""

    plan: EnginePlan
    totals: Totals
    judgement: Judgement


def evaluate(question: Question) -> Evaluation:
    """Run the engine's rules on a question.

    Raises:
        LayoutError: a layout the model or the engine does not allow.
        InputError: an engine, version or option that does not exist.
    """
    plan = _plan(question)
    if question.calibration is not None:
        plan = _calibrated(question, plan, question.calibration)
    work = question.workload
    verdict = judge(plan, question.gpu, context_tokens=work.context_tokens, concurrency=work.concurrency)
    return Evaluation(plan, totals(plan), verdict)


def _plan(question: Question) -> EnginePlan:
    return load_engine(question.engine).plan(
        Request(
            spec=question.spec,
            scheme=question.scheme,
            kv_format=question.kv,
            gpu=question.gpu,
            layout=question.layout,
            workload=question.workload,
            options=question.options,
            version=question.version,
        )
    )


def _calibrated(question: Question, plan: EnginePlan, calibration: "Calibration") -> EnginePlan:
    """The plan with the user's own measurements; vLLM sizes its pool again from what they leave."""
    from moesize.calibration import calibrated  # noqa: PLC0415  only --calibration needs it

    layout, options = question.layout, question.options
    facts = {
        "engine": question.engine,
        "gpu": question.gpu.id,
        "model": question.spec.name,
        "quant": question.scheme.name,
        "tp": layout.tp,
        "pp": layout.pp,
        "dp": layout.dp,
        "max_num_batched_tokens": plan.max_num_batched_tokens,
        "max_num_seqs": plan.max_num_seqs,
    }
    found = calibrated(plan, calibration, facts)
    if question.engine != "vllm" or options.kv_cache_memory_bytes:
        return found
    left = plan.budget_bytes - sum(term.n_bytes for term in found.terms if term.in_budget)
    again = replace(question, options=replace(options, kv_cache_memory_bytes=max(1, left)))
    return calibrated(_plan(again), calibration, facts)


def choose_layout(
    *,
    gpus: int | None,
    tp: int | None,
    pp: int,
    dp: int,
    ep: bool,
    spec: ModelSpec,
    engine: str = "vllm",
    dcp: int = 1,
) -> Layout:
    """The layout asked for: tensor parallelism takes the GPUs that pipeline and data parallelism leave.

    Engines that split by layers take them as stages.

    Raises:
        LayoutError: numbers that contradict each other.
    """
    if gpus is not None and gpus < 1:
        raise LayoutError(f"{gpus} GPUs cannot hold anything; use at least 1")
    if ep and not spec.experts.routed:
        raise LayoutError(f"expert parallelism needs experts, and {spec.name} is a dense model; leave --ep out")
    rest = pp * dp
    if tp is None and engine in LAYER_SPLIT_ENGINES and pp == dp == 1:
        tp, pp = 1, gpus or 1
        rest = pp
    if tp is None:
        if gpus is not None and rest > 0 and gpus % rest:
            raise LayoutError(f"{gpus} GPUs do not divide by pp {pp} × dp {dp}")
        tp = max(1, (gpus or rest) // max(1, rest))
    if dcp != 1 and engine != "vllm":
        raise LayoutError(f"{engine} has no decode context parallelism; leave --dcp out")
    layout = Layout(tp, pp, dp, ep, dcp)
    if gpus is not None and layout.gpus != gpus:
        raise LayoutError(f"tp {tp} × pp {pp} × dp {dp} uses {layout.gpus} GPUs, but {gpus} are given")
    return layout


def choose_scheme(spec: ModelSpec, quant: str | None, engine: str = "vllm") -> QuantScheme:
    """The quantisation asked for; by default what the name asked for, or what the checkpoint is stored in.

    Serving engines load a float32 checkpoint in 16 bits unless they are told otherwise (`--dtype auto`).
    """
    wanted = quant or spec.quant_hint
    if wanted is None and spec.dtype == "float32" and not spec.quantization_config and engine in SIXTEEN_BIT_ENGINES:
        wanted = "bf16"
    return resolve_quant(wanted, spec) if wanted else stored_scheme(spec)


def choose_kv(spec: ModelSpec, scheme: QuantScheme, name: str, engine: str) -> KvFormat:
    """The KV cache format of a name; `auto` follows the checkpoint, then the model's dtype."""
    if engine in GGUF_ENGINES:
        return kv_format(name, dtype="float16", engine="llama.cpp")
    # what a GGUF file keeps in float32 says nothing of what the cache is kept in
    wide = scheme.method == "gguf" or scheme.dtype not in ("float16", "bfloat16", "float32")
    dtype = ("bfloat16" if spec.dtype == "float32" else spec.dtype) if wide else scheme.dtype
    found = kv_format(name, dtype=dtype, checkpoint=scheme.kv_format, engine=engine)
    sparse = any(cache.kind is CacheKind.INDEXER for cache in spec.caches)
    packed = any(cache.kind is CacheKind.COMPRESSED for cache in spec.caches) and name == "auto"
    if sparse and engine == "vllm" and (packed or found.name.startswith("fp8")):
        return kv_format(
            "fp8_ds_mla", dtype=spec.dtype, engine=engine
        )  # the only 8-bit layout of its sparse MLA kernels
    return found


def choose_context(spec: ModelSpec, context: int | None) -> tuple[int, Literal["given", "default"]]:
    """The context asked for, or min(8192, the model's own).

    Raises:
        InputError: not positive, or beyond what the model's positions reach.
    """
    longest = spec.context_length
    if context is None:
        return min(DEFAULT_CONTEXT_TOKENS, longest or DEFAULT_CONTEXT_TOKENS), "default"
    if context < 1:
        raise InputError(f"a context of {context} tokens cannot be; use at least 1")
    if longest and context > longest:
        raise InputError(f"a context of {context:,} tokens is beyond the {longest:,} {spec.name} is made for")
    return context, "given"
