"""What would make it fit: the nearest changes, each tried through the same estimator before it is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from moesize.data import read_yaml
from moesize.errors import MoesizeError
from moesize.hardware import catalogue
from moesize.hardware.gpu import load_gpu
from moesize.quant.names import resolve_quant
from moesize.quant.sizes import bits_per_weight
from moesize.question import GGUF_ENGINES, LAYER_SPLIT_ENGINES, Evaluation, Question, choose_kv, evaluate
from moesize.results import Suggestion
from moesize.units import GIB, gib, round_up

_FILE = Path(__file__).with_name("advice.yaml")
_CONTEXT_STEP = 256
_CARDS_SHOWN = 2


def suggestions_for(question: Question, evaluation: Evaluation) -> list[Suggestion]:
    """Changes of one thing that make the question fit, nearest first."""
    tried = read_yaml(_FILE)
    found: list[Suggestion] = []
    for source in (_less_work, _smaller_cache, _more_gpus, _other_card, _smaller_weights, _host_memory):
        found += source(question, evaluation, tried)
    return found


def _less_work(question: Question, evaluation: Evaluation, _tried: dict[str, Any]) -> list[Suggestion]:
    """Fewer or shorter sequences, when the cache is what does not fit."""
    pool, work = evaluation.plan.pool, question.workload
    if pool is None or evaluation.judgement.oom_at not in ("kv_cache", None):
        return []
    found: list[Suggestion] = []
    if work.concurrency > 1 and pool.max_concurrency >= 1:
        fewer = replace(work, concurrency=int(pool.max_concurrency))
        text, option = f"{fewer.concurrency} sequences at once", f"--concurrency {fewer.concurrency}"
        found += _try(replace(question, workload=fewer), text, option)
    shorter = pool.max_context_tokens // work.concurrency // _CONTEXT_STEP * _CONTEXT_STEP
    if 0 < shorter < work.context_tokens:
        load = replace(work, context_tokens=shorter)
        found += _try(replace(question, workload=load), f"{shorter:,} tokens of context", f"--context {shorter}")
    return found


def _smaller_cache(question: Question, evaluation: Evaluation, _tried: dict[str, Any]) -> list[Suggestion]:
    """An 8-bit KV cache, where the engine has one."""
    if evaluation.judgement.oom_at == "load" or question.kv.bits < 16:
        return []
    try:
        kv = choose_kv(question.spec, question.scheme, "fp8", question.engine)
    except MoesizeError:
        return []
    return _try(replace(question, kv=kv), "an fp8 KV cache", "--kv-dtype fp8")


def _more_gpus(question: Question, _evaluation: Evaluation, tried: dict[str, Any]) -> list[Suggestion]:
    """The smallest group of the same card: tensor parallel, or stages for engines that split by layers."""
    layout, along = question.layout, "pp" if question.engine in LAYER_SPLIT_ENGINES else "tp"
    for count in tried["gpu_counts"]:
        if count <= getattr(layout, along):
            continue
        wider = replace(layout, pp=count) if along == "pp" else replace(layout, tp=count)
        text, option = f"{wider.gpus}× {question.gpu.name}", f"--gpus {wider.gpus}"
        found = _try(replace(question, layout=wider), text, option)
        if found:
            return found
    return []


def _other_card(question: Question, evaluation: Evaluation, tried: dict[str, Any]) -> list[Suggestion]:
    """The two smallest larger cards that do it with the same number of GPUs."""
    least = max(question.gpu.memory_bytes + 1, evaluation.totals.weights)
    found: list[Suggestion] = []
    for gpu_id in tried["cards"]:
        if len(found) == _CARDS_SHOWN:
            break
        if catalogue.memory_bytes(gpu_id) < least:
            continue
        card = load_gpu(gpu_id)
        count = f"{question.layout.gpus}× " if question.layout.gpus > 1 else ""
        text = f"{count}{card.name}, {round(gib(card.memory_bytes))} GiB"
        found += _try(replace(question, gpu=card), text, f'--gpu "{card.name}"')
    return found


def _smaller_weights(question: Question, _evaluation: Evaluation, tried: dict[str, Any]) -> list[Suggestion]:
    """The gentlest quantisation that fits, by bits of the weights it leaves."""
    now = bits_per_weight(question.spec, question.scheme)
    for name in tried["quants"]:
        try:
            scheme = resolve_quant(name, question.spec)
            smaller = bits_per_weight(question.spec, scheme) < now - 0.01
        except MoesizeError:
            continue
        change = replace(question, scheme=scheme)
        found = _try(change, f"{scheme.name} weights", f"--quant {scheme.name}") if smaller else []
        if found:
            return found
    return []


def _host_memory(question: Question, evaluation: Evaluation, _tried: dict[str, Any]) -> list[Suggestion]:
    """Weights kept in host memory, as little as will do; every step then reads them there or over the host link."""
    if question.engine in GGUF_ENGINES:
        return _expert_layers(question) or _whole_layers(question)
    sums, budget = evaluation.totals, evaluation.plan.budget_bytes
    over = round_up(max(0, sums.high - budget), GIB)
    if not 0 < over < sums.weights:
        return []
    options = replace(question.options, cpu_offload_bytes=question.options.cpu_offload_bytes + over)
    amount = round(gib(options.cpu_offload_bytes))
    text = f"{amount} GiB of weights per GPU in host memory"
    return _try(replace(question, options=options), text, f"--cpu-offload {amount}", offloads=True)


def _expert_layers(question: Question) -> list[Suggestion]:
    """The fewest layers whose experts have to leave the GPUs."""
    layers = question.spec.moe_layers
    if not layers or question.spec.counts or question.options.n_gpu_layers is not None:
        return []
    # `--n-cpu-moe` counts layers from the first, with those that have no experts

    def keeping(moved: int) -> Question:
        return replace(question, options=replace(question.options, n_cpu_moe=moved))

    moved = _least(keeping, 1, max(layers) + 1)
    if moved is None:
        return []
    left = sum(layer >= moved for layer in layers)
    text = f"experts of {left} of {len(layers)} layers on the GPU"
    return _try(keeping(moved), text, f"--n-cpu-moe {moved}", offloads=True)


def _whole_layers(question: Question) -> list[Suggestion]:
    """The fewest layers that have to leave the GPUs whole; the output is the last thing to leave."""
    layers = question.spec.num_layers
    if question.spec.counts or layers < 2:
        return []

    def keeping(moved: int) -> Question:
        return replace(question, options=replace(question.options, n_gpu_layers=layers + 1 - moved))

    moved = _least(keeping, 1, layers - 1)
    if moved is None:
        return []
    text, option = f"{layers - moved} of {layers} layers on the GPU", f"--n-gpu-layers {layers + 1 - moved}"
    return _try(keeping(moved), text, option, offloads=True)


def _least(changed: Callable[[int], Question], low: int, high: int) -> int | None:
    """The least number the changed question fits with, interval and all; more never fits worse."""
    if not _fits(changed(high)):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(changed(middle)) else (middle + 1, high)
    return high


def _fits(question: Question) -> bool:
    return evaluate(question).judgement.verdict == "fits"


def _speed_note(question: Question, evaluation: Evaluation) -> str:
    """What is in host memory, and what that does to speed."""
    from moesize.speed import speed_of  # noqa: PLC0415  only offloading is slower than it looks

    speed = speed_of(question, evaluation.plan)
    if speed.leaves_out_host:
        held = gib(evaluation.plan.host_bytes)
        return f"{held:.1f} GiB in host memory, a token reads {gib(speed.host_read_bytes_per_token):.2f} GiB there"
    if speed.tokens_per_second is None:
        return "read over the host link at every step"
    return f"at most {speed.tokens_per_second:.3g} tokens/s, by {speed.binds}"


def _try(question: Question, text: str, option: str, *, offloads: bool = False) -> list[Suggestion]:
    """The suggestion, when the changed question comes out within the budget; else nothing."""
    try:
        evaluation = evaluate(question)
    except MoesizeError:
        return []
    sums = evaluation.totals
    if evaluation.judgement.verdict == "oom" or sums.total > evaluation.plan.budget_bytes:
        return []
    suggestion = Suggestion(
        change=text,
        option=option,
        verdict=evaluation.judgement.verdict,
        weights_bytes=sums.weights,
        headroom_bytes=evaluation.plan.budget_bytes - sums.total,
        note=_speed_note(question, evaluation) if offloads else "",
    )
    return [suggestion]
