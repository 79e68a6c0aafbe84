"""From cases and findings to plain results: here the texts of files are cleaned."""

from hashlib import sha256

from moesize.gate.case import Case, Option
from moesize.gate.cleaning import clean
from moesize.gate.facts import Deployment, Fact
from moesize.gate.findings.base import Finding
from moesize.gate.ignores import Reason
from moesize.gate.results import DeploymentOut, FactOut, FindingOut, GpuOut

#: Facts a result shows beside the verdict; what they say decides it.
_FACTS = (
    *("model", "revision", "quantization", "quantization_hint", "dtype", "kv_cache_dtype", "max_model_len"),
    *("max_num_seqs", "concurrency", "max_num_batched_tokens", "tensor_parallel", "pipeline_parallel", "data_parallel"),
    *("dp_attention", "expert_parallel", "redundant_experts", "gpu_memory_utilization", "kv_cache_memory_bytes"),
    *("cpu_offload_gib", "enforce_eager", "draft_model", "max_loras", "gpu_layers", "experts_on_cpu", "engine_version"),
    *("speculative_method", "speculative_tokens", "decode_context_parallel", "prefix_caching"),
    *("max_cudagraph_capture_size", "language_model_only", "gpu_count", "nodes", "replicas"),
)


def fingerprint(*parts: str) -> str:
    """What stays the same while lines and figures change."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def deployment_out(case: Case) -> DeploymentOut:
    """A case as results show it."""
    deployment = case.deployment
    worst = case.worst
    question = worst.outcome.question if worst and worst.outcome else None
    layout = question.layout if question else None
    written = deployment.model.value if deployment.model else None
    return DeploymentOut(
        file=clean(deployment.where.file),
        line=deployment.where.line,
        object=clean(deployment.identity),
        kind=clean(deployment.kind),
        namespace=clean(deployment.namespace) if deployment.namespace else None,
        name=clean(deployment.name),
        container=clean(deployment.container) if deployment.container else None,
        role=clean(deployment.role) if deployment.role else None,
        format=deployment.format,
        fingerprint=fingerprint(deployment.where.file, deployment.identity),
        verdict=case.verdict,
        engine=deployment.engine.value,
        engine_version=clean(deployment.engine_version.value) if deployment.engine_version else None,
        model=case.model.name if case.model else None,
        model_as_written=clean(written) if written else None,
        quant=question.scheme.name if question else None,
        context=question.workload.context_tokens if question else None,
        concurrency=question.workload.concurrency if question else None,
        tp=layout.tp if layout else None,
        pp=layout.pp if layout else None,
        dp=layout.dp if layout else None,
        ep=layout.ep if layout else None,
        gpus=[_gpu(option) for option in case.options if option.gpu is not None],
        facts=_facts(deployment),
        notes=[clean(note) for note in case.notes],
    )


def finding_out(
    finding: Finding, deployment: Deployment | None, index: int | None, reason: Reason | None, *, fails: bool
) -> FindingOut:
    """A finding as results show it."""
    where = finding.where
    identity = deployment.identity if deployment else ""
    return FindingOut(
        rule=finding.rule,
        level=finding.level.value,
        message=clean(finding.message),
        help=clean(finding.help),
        file=clean(where.file),
        line=where.line,
        column=where.column,
        object=clean(identity) if identity else None,
        deployment=index,
        fingerprint=fingerprint(where.file, identity, finding.rule),
        fails=fails,
        suppressed=reason.kind if reason else None,
        reason=clean(reason.text) if reason else None,
    )


def _gpu(option: Option) -> GpuOut:
    """One option; figures are None where the engine refuses it or nothing was evaluated."""
    evaluation = option.outcome.evaluation if option.outcome else None
    sums = evaluation.totals if evaluation else None
    plan = evaluation.plan if evaluation else None
    pool = plan.pool if plan else None
    return GpuOut(
        name=option.gpu.name if option.gpu else "",
        count=option.gpus_needed,
        memory_bytes=option.gpu.memory_bytes if option.gpu else 0,
        verdict=option.verdict,
        oom_at=evaluation.judgement.oom_at if evaluation else None,
        budget_bytes=plan.budget_bytes if plan else None,
        weights_bytes=sums.weights if sums else None,
        kv_cache_bytes=sums.kv_cache if sums else None,
        activation_bytes=sums.activation if sums else None,
        runtime_bytes=sums.runtime if sums else None,
        total_bytes=sums.total if sums else None,
        headroom_bytes=plan.budget_bytes - sums.total if plan and sums else None,
        max_context=pool.max_context_tokens if pool else None,
        max_concurrency=round(pool.max_concurrency, 2) if pool else None,
    )


def _facts(deployment: Deployment) -> dict[str, FactOut]:
    found: dict[str, FactOut] = {}
    for name in _FACTS:
        fact = getattr(deployment, name)
        if fact is not None:
            found[name] = _fact(fact)
    for i, choice in enumerate(deployment.gpus):
        found["gpu" if len(deployment.gpus) == 1 else f"gpu.{i}"] = _fact(choice.name)
    return found


def _fact(fact: Fact[str] | Fact[int] | Fact[float] | Fact[bool]) -> FactOut:
    value = clean(fact.value) if isinstance(fact.value, str) else fact.value
    return FactOut(value, fact.source.name.lower(), str(fact.where) if fact.where else None)
