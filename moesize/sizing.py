"""`size()`, the function behind `check`: the one place where model, quantisation, GPU, engine and workload meet."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from moesize import results as out
from moesize.answer import answer
from moesize.engines import load_engine
from moesize.engines.base import EngineOptions, Workload
from moesize.errors import InputError
from moesize.hardware import catalogue
from moesize.hardware.gpu import GpuSpec, is_size_or_slice, load_gpu
from moesize.hardware.host_memory import with_host_memory
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.question import (
    Question,
    choose_context,
    choose_kv,
    choose_layout,
    choose_scheme,
)
from moesize.units import GIB


def size(
    model: str | ModelSpec,
    gpu: str | int | GpuSpec,
    *,
    gpus: int | None = None,
    quant: str | None = None,
    context: int | None = None,
    concurrency: int = 1,
    kv_dtype: str = "auto",
    engine: str = "vllm",
    engine_version: str | None = None,
    tp: int | None = None,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    dcp: int = 1,
    gpu_memory_utilization: float | None = None,
    max_num_batched_tokens: int | None = None,
    max_num_seqs: int | None = None,
    cpu_offload_gib: float = 0,
    host_bandwidth: str | float | None = None,
    enforce_eager: bool = False,
    speculative: str | Mapping[str, Any] | None = None,
    offline: bool = False,
    family: str | None = None,
    options: EngineOptions | None = None,
    calibration: str | Path | None = None,
) -> out.CheckResult:
    """Whether a model, served this way, fits on these GPUs.

    Args:
        model: Anything `load_model` takes, or a spec.
        gpu: A GPU, an instance (`g5.12xlarge`), `2xA10G`, a size (`"24GiB"`), a number of bytes, or a spec.
        gpus: How many; by default as many as the layout names, or one.
        quant: Weight format; None takes what the checkpoint is stored in.
        context: Tokens of a sequence, prompt and answer; None takes min(8192, the model's own).
        concurrency: Sequences at once, on one data-parallel replica.
        kv_dtype: KV cache format; `auto` follows the checkpoint.
        engine: Serving engine.
        engine_version: Its version; None takes the newest known.
        tp: Tensor parallel size; None takes what the GPUs allow.
        pp: Pipeline stages.
        dp: Data parallel replicas.
        ep: Spread whole experts over the tp × dp ranks.
        dcp: Decode context parallel size: ranks of a tensor-parallel group that share a sequence's cache.
        gpu_memory_utilization: Fraction of the card the engine may use; None takes the version's default.
        max_num_batched_tokens: Tokens of one step; None takes the server's default for the card.
        max_num_seqs: Sequences of one step; None likewise.
        cpu_offload_gib: Weights kept in host memory, per GPU.
        host_bandwidth: Of the host's memory: GB/s, or channels and speed (`2xDDR5-5600`); only you know it.
        enforce_eager: No CUDA graphs.
        speculative: What proposes tokens ahead: `mtp`, `ngram:5`, `eagle3:3:ORG/NAME`, or vLLM's speculative
            configuration as JSON or a mapping.
        offline: Never ask the Hub.
        family: Read a configuration of unknown model_type as this family; the report says so.
        options: Settings only some engines have; those above take precedence.
        calibration: A file `probe --save` or `observe --save` wrote; its terms replace those of public measurements.

    Raises:
        MoesizeError: the question cannot be answered; its text says why in one sentence.
    """
    spec = model if isinstance(model, ModelSpec) else load_model(model, offline=offline, family=family)
    card, count = (gpu, None) if isinstance(gpu, GpuSpec) else _hardware(gpu)
    if host_bandwidth is not None:
        card = with_host_memory(card, host_bandwidth)
    question = ask(
        spec,
        card,
        gpus=gpus if gpus is not None else count,
        quant=quant,
        context=context,
        concurrency=concurrency,
        kv_dtype=kv_dtype,
        engine=engine,
        engine_version=engine_version,
        tp=tp,
        pp=pp,
        dp=dp,
        ep=ep,
        dcp=dcp,
        options=engine_options(
            speculating(options, spec, speculative, engine, offline=offline),
            gpu_memory_utilization=gpu_memory_utilization,
            max_num_batched_tokens=max_num_batched_tokens,
            max_num_seqs=max_num_seqs,
            enforce_eager=enforce_eager,
            cpu_offload_gib=cpu_offload_gib,
        ),
    )
    if calibration is not None:
        from moesize.calibration import read_calibration  # noqa: PLC0415  only --calibration needs it

        question = replace(question, calibration=read_calibration(Path(calibration)))
    return answer(question)


def engine_options(
    options: EngineOptions | None,
    *,
    gpu_memory_utilization: float | None,
    max_num_batched_tokens: int | None,
    max_num_seqs: int | None,
    enforce_eager: bool,
    cpu_offload_gib: float,
) -> EngineOptions:
    """The settings every engine has over those only some have.

    Raises:
        InputError: an amount of host memory that cannot be.
    """
    if not isfinite(cpu_offload_gib) or cpu_offload_gib < 0:
        raise InputError(f"--cpu-offload is {cpu_offload_gib}; it is an amount of GiB, not negative")
    return replace(
        options or EngineOptions(),
        gpu_memory_utilization=gpu_memory_utilization,
        max_num_batched_tokens=max_num_batched_tokens,
        max_num_seqs=max_num_seqs,
        enforce_eager=enforce_eager,
        cpu_offload_bytes=round(cpu_offload_gib * GIB),
    )


def ask(
    spec: ModelSpec,
    gpu: GpuSpec,
    *,
    gpus: int | None = None,
    quant: str | None = None,
    context: int | None = None,
    concurrency: int = 1,
    kv_dtype: str = "auto",
    engine: str = "vllm",
    engine_version: str | None = None,
    tp: int | None = None,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    dcp: int = 1,
    options: EngineOptions | None = None,
) -> Question:
    """The question with its names resolved and its numbers checked.

    Raises:
        MoesizeError: a name nothing is known by, or numbers that contradict each other.
    """
    if concurrency < 1:
        raise InputError(f"a concurrency of {concurrency} cannot be; use at least 1")
    engine = load_engine(engine).name
    tokens, context_source = choose_context(spec, context)
    scheme = choose_scheme(spec, quant, engine)
    return Question(
        spec=spec,
        scheme=scheme,
        kv=choose_kv(spec, scheme, kv_dtype, engine),
        gpu=gpu,
        layout=choose_layout(gpus=gpus, tp=tp, pp=pp, dp=dp, ep=ep, dcp=dcp, spec=spec, engine=engine),
        workload=Workload(tokens, concurrency),
        context_source=context_source,
        engine=engine,
        version=engine_version,
        options=options or EngineOptions(),
    )


def speculating(
    options: EngineOptions | None,
    spec: ModelSpec,
    speculative: str | Mapping[str, Any] | None,
    engine: str,
    *,
    offline: bool,
) -> EngineOptions | None:
    """The settings with the speculation asked for, its drafting model loaded.

    Raises:
        MoesizeError: no such method or model.
    """
    if not speculative:
        return options
    from moesize.speculation import speculation_for  # noqa: PLC0415  few servers speculate

    return replace(
        options or EngineOptions(), speculation=speculation_for(spec, speculative, engine=engine, offline=offline)
    )


def _hardware(gpu: str | int) -> tuple[GpuSpec, int | None]:
    if isinstance(gpu, int) or catalogue.knows(gpu) or is_size_or_slice(gpu):
        return load_gpu(gpu), None
    from moesize.hardware.instances import resolve_hardware  # noqa: PLC0415  a plain GPU needs no instance lists

    return resolve_hardware(gpu)
