"""The answer to a question: the engine's plan, the verdict, counts, bounds and advice as one result."""

from moesize import results as out
from moesize.compute.experts import expected_distinct_experts
from moesize.compute.flops import decode_flops, flops_by_role, prefill_flops
from moesize.engines.base import EnginePlan, Term
from moesize.errors import InputError
from moesize.model.spec import ModelSpec
from moesize.quant.kv import check_kv
from moesize.quant.sizes import bits_per_weight, checkpoint_bytes
from moesize.question import Evaluation, Question, evaluate
from moesize.speed import speed_of


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
            tp=question.layout.tp,
            pp=question.layout.pp,
            dp=question.layout.dp,
            ep=question.layout.ep_size,
            dcp=question.layout.dcp,
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
            speculative=str(question.options.speculation) if question.options.speculation else None,
        ),
        per_gpu=_per_gpu(evaluation),
        kv_cache=_kv_cache(evaluation),
        compute=_compute(question, plan),
        terms=[term_out(term) for term in _all_terms(question, evaluation)],
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


def _compute(question: Question, plan: EnginePlan) -> out.Compute:
    spec, context, batch = question.spec, question.workload.context_tokens, question.workload.concurrency
    speed, experts = speed_of(question, plan), spec.experts
    return out.Compute(
        flops_per_token=decode_flops(spec, context),
        prefill_flops_per_token=prefill_flops(spec, context),
        flops_by_role={role: round(n) for role, n in flops_by_role(spec, context).items()},
        bytes_read_per_step=speed.read_bytes,
        experts_touched_per_layer=round(expected_distinct_experts(experts.routed, experts.per_token, batch), 2),
        decode_tokens_per_second_bound=_rounded(speed.tokens_per_second, 1),
        seconds_to_first_token_bound=_rounded(speed.seconds_to_first_token, 4),
        bound_by=speed.binds,
        host_weights_bytes=plan.host_bytes or question.options.cpu_offload_bytes * question.layout.gpus,
        host_read_bytes_per_token=speed.host_read_bytes_per_token,
        host_link_bytes_per_token=speed.host_link_bytes_per_token,
        host_bandwidth_bytes_per_second=speed.host_memory_bytes_per_second,
        bound_leaves_out="host memory" if speed.leaves_out_host else None,
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


def term_out(term: Term) -> out.TermOut:
    """A term as results show it."""
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
