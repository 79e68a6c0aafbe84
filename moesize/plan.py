"""`plan`: the layouts that hold a workload, as a Pareto front of price, GPUs and speed, and why near misses miss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from moesize.combinations import asking, questions_of
from moesize.compute.roofline import Binds
from moesize.engines.base import EngineOptions, Workload
from moesize.errors import InputError, MoesizeError
from moesize.hardware.gpu import GpuSpec
from moesize.hardware.rental import Rental, cheapest_rental
from moesize.launch_lines import launch_lines
from moesize.layouts import MAX_GPUS, hopeless, layouts, one_node_gpus
from moesize.model.spec import ModelSpec
from moesize.progress import Progress, steps
from moesize.question import Evaluation, Question, choose_context, evaluate
from moesize.speed import Speed, speed_of
from moesize.units import ceil_div

SCHEMA: Final = "moesize.plan/1"
_REPLICAS = (1, 2, 4, 8)
_NEAR_MISSES = 8


@dataclass(slots=True, eq=False, repr=False)
class Choice:
    """One layout that holds the workload, with what it costs and how fast it could be, and the lines that start it."""

    model: str
    gpu: str
    gpus: int
    quant: str
    kv_dtype: str
    tp: int
    pp: int
    dp: int
    verdict: str
    weights_bytes: int
    headroom_bytes: int
    max_context: int | None
    max_concurrency: float | None
    tokens_per_second_bound: float | None
    tokens_per_second_per_sequence_bound: float | None
    seconds_to_first_token_bound: float | None
    bound_by: Binds | None
    instance: str | None
    usd_per_hour: float | None
    price_date: str | None
    commands: dict[str, str]


@dataclass(slots=True, eq=False, repr=False)
class NearMiss:
    """A layout that does not do, and why."""

    gpu: str
    gpus: int
    quant: str
    reason: str


@dataclass(slots=True, eq=False, repr=False)
class Plan:
    """The Pareto front (schema `moesize.plan/1`): no choice is beaten in price, GPUs and speed at once.

    `skipped` says which formats are left out, and why.
    """

    schema: str
    model: str
    context: int
    context_source: Literal["given", "default"]
    concurrency: int
    engine: str
    choices: list[Choice]
    considered: int
    near_misses: list[NearMiss]
    skipped: list[str]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a choice must keep to; None for no limit."""

    max_price: float | None = None
    min_tokens_per_second: float | None = None
    max_gpus: int = MAX_GPUS


@dataclass(frozen=True, slots=True)
class _Candidate:
    question: Question
    evaluation: Evaluation
    speed: Speed
    rental: Rental | None

    @property
    def merits(self) -> tuple[float, float, float]:
        """Price, GPUs and speed; smaller is better."""
        price = self.rental.usd_per_hour if self.rental else float("inf")
        return (price, self.question.layout.gpus, -(self.speed.tokens_per_second or 0.0))


def plan(
    spec: ModelSpec,
    gpus: Sequence[GpuSpec],
    *,
    context: int | None,
    concurrency: int,
    quants: Sequence[str | None] = (None,),
    kv_dtype: str = "auto",
    engine: str = "vllm",
    engine_version: str | None = None,
    limits: Limits | None = None,
    prices: Mapping[str, float] | None = None,
    options: EngineOptions | None = None,
    speculative: str | Mapping[str, Any] | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Layouts of `spec` that hold `concurrency` sequences of `context` tokens; None takes min(8192, the model's own).

    Data-parallel replicas share the sequences; speed limits are per sequence. Every choice is one that `check` calls
    `fits`, and on the same cards in the same quantisation one step fewer does not.

    Raises:
        InputError: no GPU to plan with, or nothing that fits: says the nearest miss.
        MoesizeError: the question itself is wrong.
    """
    if not gpus:
        raise InputError("no GPU is left to plan with")
    limits = limits or Limits()
    _check_limits(limits)
    found: list[_Candidate] = []
    misses: list[tuple[float, NearMiss]] = []
    asked = asking(
        gpus[0],
        context=context,
        concurrency=concurrency,
        kv_dtype=kv_dtype,
        engine=engine,
        engine_version=engine_version,
        options=options,
        speculative=speculative,
        offline=offline,
    )
    firsts, left_out = questions_of([spec], quants, asked, "plan")
    questions = [replace(first, gpu=gpu) for first in firsts for gpu in gpus]
    for question in steps(questions, progress, lambda q: f"{q.scheme.name} on {q.gpu.name}"):
        _search(question, concurrency, limits, prices, found, misses)
    if not found:
        raise InputError(_nothing(spec, misses))
    front = [c for c in found if not any(_dominates(other, c) for other in found)]
    front.sort(key=lambda c: (c.merits, c.question.gpu.name, c.question.scheme.name))
    shown = [miss for _, miss in sorted(misses, key=lambda m: m[0])[:_NEAR_MISSES]]
    tokens, source = choose_context(spec, context)
    choices = [_choice(c) for c in front]
    return Plan(SCHEMA, spec.name, tokens, source, concurrency, engine, choices, len(found), shown, left_out.notes())


def _check_limits(limits: Limits) -> None:
    if limits.max_price is not None and not limits.max_price > 0:
        raise InputError(f"a price ceiling of {limits.max_price} USD per hour leaves nothing; use more than 0")
    if limits.min_tokens_per_second is not None and not limits.min_tokens_per_second > 0:
        raise InputError(f"{limits.min_tokens_per_second} tokens per second is no lower limit; use more than 0")
    if limits.max_gpus < 1:
        raise InputError(f"{limits.max_gpus} GPUs cannot hold anything; use at least 1")


def _search(
    question: Question,
    concurrency: int,
    limits: Limits,
    prices: Mapping[str, float] | None,
    found: list[_Candidate],
    misses: list[tuple[float, NearMiss]],
) -> None:
    """For every number of replicas, the layouts of one replica that hold its share of the sequences."""
    for replicas in _REPLICAS:
        if replicas > min(concurrency, limits.max_gpus):
            break
        share = Workload(question.workload.context_tokens, ceil_div(concurrency, replicas))
        for layout in layouts(limits.max_gpus // replicas, question.engine):
            if hopeless(question, layout):
                continue
            asked = replace(question, layout=replace(layout, dp=replicas), workload=share)
            miss = _try(asked, limits, prices, found)
            if miss is not None:
                misses.append(miss)


def _try(
    question: Question, limits: Limits, prices: Mapping[str, float] | None, found: list[_Candidate]
) -> tuple[float, NearMiss] | None:
    """Adds the layout to `found`, or says why it does not do and by how much it misses."""
    layout = question.layout
    try:
        evaluation = evaluate(question)
    except MoesizeError as error:
        return 9.0, _miss(question, str(error))
    judgement = evaluation.judgement
    if judgement.verdict != "fits":
        over = evaluation.totals.high / max(1, evaluation.plan.budget_bytes)
        return over, _miss(question, "; ".join(judgement.reasons))
    speed = speed_of(question, evaluation.plan)
    rental = cheapest_rental(question.gpu.id, layout.gpus, per_node=one_node_gpus(question), prices=prices)
    if limits.max_price is not None:
        if rental is None:
            return 5.0, _miss(question, "fits, but no price of it is known")
        if rental.usd_per_hour > limits.max_price:
            cost = f"{rental.usd_per_hour:.2f} USD/h for {rental}"
            return rental.usd_per_hour / limits.max_price, _miss(question, f"fits, but costs {cost}")
    if limits.min_tokens_per_second is not None:
        least = 1 / speed.seconds_per_token if speed.seconds_per_token else 0.0
        if least < limits.min_tokens_per_second:
            text = f"fits, but decodes at most {least:.1f} tokens/s per sequence"
            return limits.min_tokens_per_second / max(least, 1e-9), _miss(question, text)
    found.append(_Candidate(question, evaluation, speed, rental))
    return None


def _miss(question: Question, reason: str) -> NearMiss:
    return NearMiss(question.gpu.name, question.layout.gpus, question.scheme.name, reason)


def _nothing(spec: ModelSpec, misses: list[tuple[float, NearMiss]]) -> str:
    if not misses:
        return f"{spec.name} fits on none of these GPUs: its weights alone are more than all of them hold"
    _, nearest = min(misses, key=lambda miss: miss[0])
    where = f"{nearest.gpus}× {nearest.gpu} with {nearest.quant}"
    return f"nothing holds this workload within the limits; nearest: {where}: {nearest.reason}"


def _dominates(one: _Candidate, other: _Candidate) -> bool:
    """Whether `one` is no worse in everything and better in something."""
    a, b = one.merits, other.merits
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _choice(candidate: _Candidate) -> Choice:
    question, evaluation, speed = candidate.question, candidate.evaluation, candidate.speed
    sums, pool, layout = evaluation.totals, evaluation.plan.pool, question.layout
    per_sequence = 1 / speed.seconds_per_token if speed.seconds_per_token else None
    rental = candidate.rental
    return Choice(
        model=question.spec.name,
        gpu=question.gpu.name,
        gpus=layout.gpus,
        quant=question.scheme.name,
        kv_dtype=question.kv.name,
        tp=layout.tp,
        pp=layout.pp,
        dp=layout.dp,
        verdict=evaluation.judgement.verdict,
        weights_bytes=sums.weights,
        headroom_bytes=evaluation.plan.budget_bytes - sums.total,
        max_context=pool.max_context_tokens if pool else None,
        max_concurrency=round(pool.max_concurrency * layout.dp, 2) if pool else None,
        tokens_per_second_bound=_rounded(speed.tokens_per_second),
        tokens_per_second_per_sequence_bound=_rounded(per_sequence),
        seconds_to_first_token_bound=_rounded(speed.seconds_to_first_token),
        bound_by=speed.binds,
        instance=str(rental) if rental else None,
        usd_per_hour=round(rental.usd_per_hour, 4) if rental else None,
        price_date=rental.date if rental else None,
        commands=launch_lines(question),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
