"""The fastest a deployment could decode and prefill: bounds from bandwidth, peak rate and links, not predictions."""

from typing import NamedTuple

from moesize.compute.flops import decode_flops, prefill_flops
from moesize.compute.roofline import (
    Binds,
    StepTime,
    all_to_all_bytes,
    published_read_bytes,
    step_time,
    weights_read_bytes,
)
from moesize.memory.kv_cache import sequence_bytes
from moesize.memory.layout import Layout, stages
from moesize.memory.sharding import RankTensor, ShardingRules, rank_tensors
from moesize.model.spec import ModelSpec
from moesize.question import Question


class Speed(NamedTuple):
    """Bounds of one deployment.

    Attributes:
        read_bytes: What the busiest rank reads per decoding step.
        seconds_per_token: Time per output token; None where the GPU's figures are not known.
        tokens_per_second: Of all sequences of all replicas together.
        seconds_to_first_token: Of a prompt of the asked context, alone on one replica.
        binds: What decoding waits for longest.
    """

    read_bytes: int
    seconds_per_token: float | None
    tokens_per_second: float | None
    seconds_to_first_token: float | None
    binds: Binds | None


def speed_of(question: Question) -> Speed:
    """The bounds of a question; a token passes the pipeline stages one after the other.

    With speculation a step verifies all proposed tokens; what proposing them takes is left out of the bound.
    """
    steps, read_bytes = _decode_steps(question)
    seconds = [step.seconds for step in steps]
    total = sum(s for s in seconds if s is not None) if None not in seconds else None
    batch = question.workload.concurrency * question.layout.dp * _tokens_a_step(question)
    return Speed(
        read_bytes=read_bytes,
        seconds_per_token=total,
        tokens_per_second=batch / total if total else None,
        seconds_to_first_token=_first_token_seconds(question, total),
        binds=max(steps, key=lambda step: step.seconds or 0.0).binds,
    )


def _decode_steps(question: Question) -> tuple[list[StepTime], int]:
    spec, layout, scheme = question.spec, question.layout, question.scheme
    context, batch = question.workload.context_tokens, question.workload.concurrency
    cache_bytes = sequence_bytes(spec, question.kv, context) * batch / (layout.tp * layout.pp)
    verified = batch * _tokens_a_step(question)
    flops = decode_flops(spec, context) * verified / (layout.tp * layout.pp)
    routed_batch = verified * (layout.dp if layout.ep else 1)
    steps = []
    most = 0.0
    for tensors in _held(spec, layout):
        if spec.counts:
            weights = published_read_bytes(spec, scheme, layout.gpus)
        else:
            weights = weights_read_bytes(tensors, scheme, routed_batch)
        sent = all_to_all_bytes(tensors, spec.hidden_size or 0, routed_batch, layout.ep_size)
        most = max(most, weights + cache_bytes)
        steps.append(
            step_time(
                question.gpu,
                read_bytes=weights + cache_bytes,
                flops=flops,
                dtype=_rate_dtype(question),
                host_bytes=question.options.cpu_offload_bytes,
                sent_bytes=sent,
            )
        )
    return steps, round(most)


def _tokens_a_step(question: Question) -> int:
    """Tokens a step yields for a sequence at most: every proposed one accepted, and one more."""
    speculation = question.options.speculation
    return 1 + (speculation.tokens if speculation else 0)


def _first_token_seconds(question: Question, step_seconds: float | None) -> float | None:
    """A prompt's products at peak rate on one replica's tensor-parallel group; no faster than one decoding step."""
    rates = question.gpu.tflops_dense
    peak = rates.get(_rate_dtype(question)) or rates.get("bf16") or rates.get("fp16")
    if not peak or step_seconds is None:
        return None
    context = question.workload.context_tokens
    flops = prefill_flops(question.spec, context) * context
    return max(flops / (peak * 1e12 * question.layout.tp), step_seconds)


def _rate_dtype(question: Question) -> str:
    """The peak rate the products run at: 8- and 4-bit activations where scheme and GPU have them, else 16 bits."""
    return "fp8" if question.scheme.method in ("fp8", "fbgemm_fp8") and "fp8" in question.gpu.native_formats else "bf16"


def _held(spec: ModelSpec, layout: Layout) -> list[tuple[RankTensor, ...]]:
    """Tensors of every stage."""
    rules = ShardingRules(towers_whole=True)  # decoding reads none of them
    return [rank_tensors(spec, layout, stage, rules) for stage in stages(spec.num_layers, layout.pp)]
