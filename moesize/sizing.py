"""`size()`, the function behind `check`: the one place where model, quantisation, GPU, engine and workload meet."""

from dataclasses import replace
from math import isfinite
from pathlib import Path

from moesize import results as out
from moesize.compute.experts import expected_distinct_experts
from moesize.compute.flops import decode_flops, flops_by_role, prefill_flops
from moesize.engines import load_engine
from moesize.engines.base import EngineOptions, Term, Workload
from moesize.errors import InputError
from moesize.hardware import catalogue
from moesize.hardware.gpu import GpuSpec, is_size_or_slice, load_gpu
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.quant.kv import check_kv
from moesize.quant.sizes import bits_per_weight, checkpoint_bytes
from moesize.question import (
    Evaluation,
    Question,
    choose_context,
    choose_kv,
    choose_layout,
    choose_scheme,
    evaluate,
)
from moesize.speed import speed_of
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
    gpu_memory_utilization: float | None = None,
    max_num_batched_tokens: int | None = None,
    max_num_seqs: int | None = None,
    cpu_offload_gib: float = 0,
    enforce_eager: bool = False,
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
        gpu_memory_utilization: Fraction of the card the engine may use; None takes the version's default.
        max_num_batched_tokens: Tokens of one step; None takes the server's default for the card.
        max_num_seqs: Sequences of one step; None likewise.
        cpu_offload_gib: Weights kept in host memory, per GPU.
        enforce_eager: No CUDA graphs.
        offline: Never ask the Hub.
        family: Read a configuration of unknown model_type as this family; the report says so.
        options: Settings only some engines have; those above take precedence.
        calibration: A file `probe --save` or `observe --save` wrote; its terms replace those of public measurements.

    Raises:
        MoesizeError: the question cannot be answered; its text says why in one sentence.
    """
    spec = model if isinstance(model, ModelSpec) else load_model(model, offline=offline, family=family)
    card, count = (gpu, None) if isinstance(gpu, GpuSpec) else _hardware(gpu)
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
        options=replace(
            options or EngineOptions(),
            gpu_memory_utilization=gpu_memory_utilization,
            max_num_batched_tokens=max_num_batched_tokens,
            max_num_seqs=max_num_seqs,
            enforce_eager=enforce_eager,
            cpu_offload_bytes=_offload_bytes(cpu_offload_gib),
        ),
    )
    if calibration is not None:
        from moesize.calibration import read_calibration  # noqa: PLC0415  only --calibration needs it

        question = replace(question, calibration=read_calibration(Path(calibration)))
    return answer(question)


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
        layout=choose_layout(gpus=gpus, tp=tp, pp=pp, dp=dp, ep=ep, spec=spec, engine=engine),
        workload=Workload(tokens, concurrency),
        context_source=context_source,
        engine=engine,
        version=engine_version,
        options=options or EngineOptions(),
    )


def answer(question: Question) -> out.CheckResult:
    """The answer to a question.

    Raises:
        MoesizeError: the engine refuses the layout or an option.
    """
    evaluation = evaluate(question)
    judgement = evaluation.judgement
    advice = _advice(question, evaluation) if judgement.verdict != "fits" else []
    spec, plan = question.spec, evaluation.plan
    return out.CheckResult(
        schema=out.SCHEMA,
        model=_model(spec),
        quant=out.Quant(
            name=question.scheme.name,
            bits_per_weight=round(bits_per_weight(spec, question.scheme), 4),
            checkpoint_bytes=checkpoint_bytes(spec, question.scheme),
        ),
        gpu=out.Gpu(name=question.gpu.name, count=question.layout.gpus, memory_bytes=question.gpu.memory_bytes),
        layout=out.LayoutOut(
            tp=question.layout.tp, pp=question.layout.pp, dp=question.layout.dp, ep=question.layout.ep_size
        ),
        engine=out.EngineOut(name=question.engine, version=plan.version),
        workload=out.WorkloadOut(
            context=question.workload.context_tokens,
            context_source=question.context_source,
            concurrency=question.workload.concurrency,
            kv_dtype=question.kv.name,
            gpu_memory_utilization=plan.gpu_memory_utilization,
            max_num_batched_tokens=plan.max_num_batched_tokens,
            max_num_seqs=plan.max_num_seqs,
        ),
        per_gpu=_per_gpu(evaluation),
        kv_cache=_kv_cache(evaluation),
        compute=_compute(question),
        terms=[_term(term) for term in _all_terms(question, evaluation)],
        verdict=judgement.verdict,
        oom_at=judgement.oom_at,
        reasons=list(judgement.reasons),
        suggestions=advice,
        predicted_log=list(plan.log_lines),
        notes=[*spec.notes, *question.scheme.notes, *plan.notes, *hardware_notes(question)],
    )


def hardware_notes(question: Question) -> list[str]:
    """What the GPU's generation makes of the formats asked for: nothing where it computes in them."""
    if question.gpu.compute_capability is None or _computes_natively(question):
        return []
    from moesize.quant.hardware import Level, gpu_support  # noqa: PLC0415  cards without a capability need none of it

    major, minor = question.gpu.compute_capability
    capability = float(f"{major}.{minor}")
    support = gpu_support(question.scheme, capability, engine=question.engine)
    notes = [] if support.level is Level.NATIVE else [support.text]
    try:
        cache_note = check_kv(question.kv, capability=capability)
    except InputError as error:
        cache_note = str(error)
    return [*notes, cache_note] if cache_note else notes


def _computes_natively(question: Question) -> bool:
    """Whether weights and cache are in a 16-bit dtype the card computes in: then there is nothing to say."""
    plain = {"bfloat16": "bf16", "float16": "fp16"}.get(question.scheme.dtype)
    return question.scheme.format is None and question.kv.bits >= 16 and plain in question.gpu.native_formats


def _advice(question: Question, evaluation: Evaluation) -> list[out.Suggestion]:
    from moesize.advice import suggestions_for  # noqa: PLC0415  only what does not fit needs advice

    return suggestions_for(question, evaluation)


def _hardware(gpu: str | int) -> tuple[GpuSpec, int | None]:
    if isinstance(gpu, int) or catalogue.knows(gpu) or is_size_or_slice(gpu):
        return load_gpu(gpu), None
    from moesize.hardware.instances import resolve_hardware  # noqa: PLC0415  a plain GPU needs no instance lists

    return resolve_hardware(gpu)


def _offload_bytes(gib: float) -> int:
    if not isfinite(gib) or gib < 0:
        raise InputError(f"--cpu-offload is {gib}; it is an amount of GiB, not negative")
    return round(gib * GIB)


def _model(spec: ModelSpec) -> out.Model:
    params = spec.params
    experts = spec.experts
    return out.Model(
        name=spec.name,
        source=spec.source,
        architecture=spec.architecture,
        layers=spec.num_layers,
        moe_layers=len(spec.moe_layers),
        context_length=spec.context_length,
        params=out.Params(
            total=params.total,
            active=params.active,
            active_excluding_input_embedding=params.active_excluding_input_embedding,
            active_excluding_embeddings=params.active_excluding_embeddings,
            by_role=dict(params.by_role),
        ),
        experts=out.Experts(routed=experts.routed, shared=experts.shared, per_token=experts.per_token),
    )


def _per_gpu(evaluation: Evaluation) -> out.PerGpu:
    sums, budget = evaluation.totals, evaluation.plan.budget_bytes
    return out.PerGpu(
        budget_bytes=budget,
        weights_bytes=sums.weights,
        kv_cache_bytes=sums.kv_cache,
        activation_bytes=sums.activation,
        runtime_bytes=sums.runtime,
        total_bytes=sums.total,
        headroom_bytes=budget - sums.total,
        total_low_bytes=sums.low,
        total_high_bytes=sums.high,
        outside_budget_bytes=sums.outside,
    )


def _kv_cache(evaluation: Evaluation) -> out.KvCache:
    pool = evaluation.plan.pool
    if pool is None:
        return out.KvCache(None, None, None, None, None, None, None)
    return out.KvCache(
        bytes_per_token=pool.bytes_per_token,
        bytes_per_token_in_window=pool.bytes_per_token_in_window,
        state_bytes_per_sequence=pool.state_bytes_per_sequence,
        pool_bytes=pool.n_bytes,
        pool_tokens=pool.tokens,
        max_context=pool.max_context_tokens,
        max_concurrency=round(pool.max_concurrency, 2),
    )


def _compute(question: Question) -> out.Compute:
    spec, context, batch = question.spec, question.workload.context_tokens, question.workload.concurrency
    speed, experts = speed_of(question), spec.experts
    return out.Compute(
        flops_per_token=decode_flops(spec, context),
        prefill_flops_per_token=prefill_flops(spec, context),
        flops_by_role={role: round(n) for role, n in flops_by_role(spec, context).items()},
        bytes_read_per_step=speed.read_bytes,
        experts_touched_per_layer=round(expected_distinct_experts(experts.routed, experts.per_token, batch), 2),
        decode_tokens_per_second_bound=_rounded(speed.tokens_per_second, 1),
        seconds_to_first_token_bound=_rounded(speed.seconds_to_first_token, 4),
        bound_by=speed.binds,
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _all_terms(question: Question, evaluation: Evaluation) -> list[Term]:
    """The plan's terms, with the cache the workload needs among them."""
    plan, pool = evaluation.plan, evaluation.plan.pool
    if pool is None:
        return list(plan.terms)
    work = question.workload
    formula = f"{work.concurrency} × {work.context_tokens} tokens in whole pages, {question.kv.name}"
    needed = pool.needed_bytes
    cache = Term("KV cache", "kv_cache", needed, needed, needed, "counted", formula, question.spec.source)
    weights = [term for term in plan.terms if term.category == "weights"]
    return [*weights, cache, *(term for term in plan.terms if term.category != "weights")]


def _term(term: Term) -> out.TermOut:
    return out.TermOut(
        term=term.term,
        category=term.category,
        bytes=term.n_bytes,
        low_bytes=term.low_bytes,
        high_bytes=term.high_bytes,
        in_budget=term.in_budget,
        basis=term.basis,
        formula=term.formula,
        source=term.source,
    )
