"""The fastest a deployment could decode and prefill: bounds from bandwidth, peak rate and links, not predictions."""

from typing import NamedTuple

from moesize.compute.flops import decode_flops, prefill_flops
from moesize.compute.host_memory import offloaded, prompt_share, touched_share
from moesize.compute.roofline import (
    Binds,
    StepTime,
    all_to_all_bytes,
    published_read_bytes,
    step_time,
    weights_read_bytes,
)
from moesize.engines.base import EnginePlan, Hybrid
from moesize.engines.streaming import streaming_of
from moesize.hardware.gpu import GpuSpec
from moesize.memory.kv_cache import sequence_bytes
from moesize.memory.layout import Layout, stages
from moesize.memory.sharding import RankTensor, ShardingRules, rank_tensors
from moesize.model.spec import ModelSpec
from moesize.question import Question
from moesize.units import ceil_div


class Speed(NamedTuple):
    """Bounds of one deployment.

    Attributes:
        read_bytes: What the busiest rank reads of its own memory per decoding step.
        seconds_per_token: Time per output token; None where the GPU's figures are not known.
        tokens_per_second: Of all sequences of all replicas together.
        seconds_to_first_token: Of a prompt of the asked context, alone on one replica.
        binds: What decoding waits for longest.
        host_read_bytes_per_token: What the CPU reads of host memory to compute with.
        host_link_bytes_per_token: What crosses between host and GPUs because weights stay in host memory.
        host_memory_bytes_per_second: The bandwidth counted with; None where it is not known.
        leaves_out_host: The CPU reads host memory of unknown bandwidth: the bound counts the GPUs and links alone.
    """

    read_bytes: int
    seconds_per_token: float | None
    tokens_per_second: float | None
    seconds_to_first_token: float | None
    binds: Binds | None
    host_read_bytes_per_token: int = 0
    host_link_bytes_per_token: int = 0
    host_memory_bytes_per_second: float | None = None
    leaves_out_host: bool = False


class _Step(NamedTuple):
    """A step on one pipeline stage's busiest rank."""

    time: StepTime
    read_bytes: float
    link_bytes: float = 0.0
    cpu_bytes: float = 0.0

    @property
    def seconds(self) -> float | None:
        return self.time.seconds


def speed_of(question: Question, plan: EnginePlan) -> Speed:
    """The bounds of a question; a token passes the pipeline stages one after the other.

    With speculation a step verifies all proposed tokens; what proposing them takes is left out of the bound.
    """
    batch = question.workload.concurrency
    steps = _steps(question, plan, batch)
    seconds = _seconds(steps)
    cpu_bytes = sum(step.cpu_bytes for step in steps)
    rate = _host_rate(question.gpu) if cpu_bytes else question.gpu.host_memory_bytes_per_second
    return Speed(
        read_bytes=round(max(step.read_bytes for step in steps)),
        seconds_per_token=seconds,
        tokens_per_second=batch * question.layout.dp * _tokens_a_step(question) / seconds if seconds else None,
        seconds_to_first_token=_first_token_seconds(question, plan, steps if batch == 1 else _steps(question, plan, 1)),
        binds=_binds(steps),
        host_read_bytes_per_token=round(cpu_bytes / batch),
        host_link_bytes_per_token=round(sum(step.link_bytes for step in steps) * question.layout.tp / batch),
        host_memory_bytes_per_second=rate,
        leaves_out_host=bool(cpu_bytes) and rate is None,
    )


def _seconds(steps: list[_Step]) -> float | None:
    seconds = [step.seconds for step in steps]
    return sum(s for s in seconds if s is not None) if None not in seconds else None


def _binds(steps: list[_Step]) -> Binds | None:
    """The largest part of all stages together."""
    times = [step.time for step in steps]
    return StepTime(
        bandwidth=sum(t.bandwidth or 0.0 for t in times),
        compute=sum(t.compute or 0.0 for t in times),
        host_link=sum(t.host_link for t in times),
        all_to_all=sum(t.all_to_all for t in times),
        host_memory=sum(t.host_memory for t in times),
    ).binds


def _steps(question: Question, plan: EnginePlan, batch: int) -> list[_Step]:
    """Decoding one token of each of `batch` sequences of a replica, stage by stage."""
    if plan.hybrid:
        return _hybrid_steps(question, plan.hybrid, batch)
    spec, layout, scheme = question.spec, question.layout, question.scheme
    context = question.workload.context_tokens
    cache_bytes = sequence_bytes(spec, question.kv, context) * batch / (layout.tp * layout.pp)
    verified = batch * _tokens_a_step(question)
    flops = decode_flops(spec, context) * verified / (layout.tp * layout.pp)
    routed_batch = verified * (layout.dp if layout.ep else 1)
    steps = []
    for tensors in _held(spec, layout):
        if spec.counts:
            weights: float = published_read_bytes(spec, scheme, layout.gpus)
        else:
            weights = weights_read_bytes(tensors, scheme, routed_batch)
        sent = all_to_all_bytes(tensors, spec.hidden_size or 0, routed_batch, layout.ep_size)
        streamed = _streamed(question, tensors, touched_share(spec.experts, routed_batch))
        read = weights - streamed.spared_bytes + cache_bytes
        time = step_time(question.gpu, read_bytes=read, flops=flops, dtype=_rate_dtype(question), sent_bytes=sent)
        link = _link_seconds(question, streamed.link_bytes)
        steps.append(_Step(time._replace(host_link=link, link_overlaps=streamed.overlaps), read, streamed.link_bytes))
    return steps


def _tokens_a_step(question: Question) -> int:
    """Tokens a step yields for a sequence at most: every proposed one accepted, and one more."""
    speculation = question.options.speculation
    return 1 + (speculation.tokens if speculation else 0)


def _hybrid_steps(question: Question, hybrid: Hybrid, batch: int) -> list[_Step]:
    """Each GPU after the other, and the CPU between them; the CPU's products are not counted, only what they read."""
    spec, gpu = question.spec, question.gpu
    share = touched_share(spec.experts, batch)
    cache = sequence_bytes(spec, question.kv, question.workload.context_tokens) * batch
    on_host = hybrid.host.dense_bytes + hybrid.host.expert_bytes * share
    copied = batch >= hybrid.gpu_batch_tokens
    flops = decode_flops(spec, question.workload.context_tokens) * batch / len(hybrid.gpus) if copied else 0.0
    steps = []
    for held in hybrid.gpus:
        read = held.dense_bytes + held.expert_bytes * share + cache * held.cache_share
        steps.append(_Step(step_time(gpu, read_bytes=read, flops=flops, dtype=_rate_dtype(question)), read))
    cpu_bytes = cache * hybrid.host.cache_share + (0.0 if copied else on_host)
    link_bytes = 0.0 if gpu.unified else on_host if copied else float(hybrid.crossing_bytes_per_token * batch)
    rate, first = _host_rate(gpu), steps[0]
    time = first.time._replace(
        host_link=_link_seconds(question, link_bytes), host_memory=cpu_bytes / rate if rate else 0.0
    )
    return [_Step(time, first.read_bytes, link_bytes, cpu_bytes), *steps[1:]]


class _Streamed(NamedTuple):
    """Weights the GPU computes with from host memory: what crosses, what it need not read of its own, and when."""

    link_bytes: float = 0.0
    spared_bytes: float = 0.0
    overlaps: bool = False


def _streamed(question: Question, tensors: tuple[RankTensor, ...], touched: float) -> _Streamed:
    """A step in which a layer's tokens select the share `touched` of its experts."""
    budget = question.options.cpu_offload_bytes
    if not budget or question.spec.counts:
        return _Streamed()
    rule = streaming_of(question.engine)
    moved = offloaded(tensors, question.scheme, budget, from_end=rule.first == "end")
    crossing = moved.dense_bytes + moved.expert_bytes * (1.0 if rule.moves == "whole" else touched)
    return _Streamed(crossing, 0.0 if rule.copies else crossing, rule.overlaps)


def _link_seconds(question: Question, link_bytes: float) -> float:
    """Seconds of one GPU's link, or of the host memory that the links of a stage share."""
    gpu = question.gpu
    link = link_bytes / gpu.host_bytes_per_second if gpu.host_bytes_per_second else 0.0
    memory = gpu.host_memory_bytes_per_second
    return max(link, link_bytes * question.layout.tp / memory if memory else 0.0)


def _host_rate(gpu: GpuSpec) -> float | None:
    return gpu.host_memory_bytes_per_second or (gpu.bandwidth_bytes_per_second if gpu.unified else None)


def _first_token_seconds(question: Question, plan: EnginePlan, alone: list[_Step]) -> float | None:
    """A prompt's products at peak rate on one replica's tensor-parallel group, or what is brought over for it.

    No faster than a GPU reads its weights once; `alone` is a step of one sequence.
    """
    rates = question.gpu.tflops_dense
    peak = rates.get(_rate_dtype(question)) or rates.get("bf16") or rates.get("fp16")
    if not peak or _seconds(alone) is None:
        return None
    context = question.workload.context_tokens
    flops = prefill_flops(question.spec, context) * context
    reading = sum(step.time.bandwidth or 0.0 for step in alone)
    return max(flops / (peak * 1e12 * question.layout.tp), reading, _prompt_host_seconds(question, plan))


def _prompt_host_seconds(question: Question, plan: EnginePlan) -> float:
    """Seconds a prompt's batches take for weights in host memory, the longest stage's."""
    if not plan.hybrid and not question.options.cpu_offload_bytes:
        return 0.0
    prompt = question.workload.context_tokens
    batch = min(plan.max_num_batched_tokens or prompt, prompt)
    share = prompt_share(question.spec.experts, batch)
    if plan.hybrid is None:
        ranks = [_streamed(question, tensors, share) for tensors in _held(question.spec, question.layout)]
        return max(_link_seconds(question, rank.link_bytes) for rank in ranks) * ceil_div(prompt, batch)
    host, rate = plan.hybrid.host, _host_rate(question.gpu)
    n_bytes = host.dense_bytes + host.expert_bytes * share
    if batch < plan.hybrid.gpu_batch_tokens:
        return n_bytes / rate if rate else 0.0
    batches = prompt // batch + (prompt % batch >= plan.hybrid.gpu_batch_tokens)
    return _link_seconds(question, n_bytes) * batches


def _rate_dtype(question: Question) -> str:
    """The peak rate the products run at: 8- and 4-bit activations where scheme and GPU have them, else 16 bits."""
    return "fp8" if question.scheme.method in ("fp8", "fbgemm_fp8") and "fp8" in question.gpu.native_formats else "bf16"


def _held(spec: ModelSpec, layout: Layout) -> list[tuple[RankTensor, ...]]:
    """Tensors of every stage."""
    rules = ShardingRules(towers_whole=True)  # decoding reads none of them
    return [rank_tensors(spec, layout, stage, rules) for stage in stages(spec.num_layers, layout.pp)]
