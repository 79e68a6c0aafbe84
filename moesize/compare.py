"""`compare`: models × GPUs × quantisations, each on the fewest GPUs it fits on, best first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from moesize.combinations import LeftOut, asking, questions_of
from moesize.engines.base import EngineOptions
from moesize.errors import MoesizeError, UnknownNameError
from moesize.hardware.gpu import GpuSpec
from moesize.hardware.rental import cheapest_rental
from moesize.layouts import MAX_GPUS, one_node_gpus, smallest_fit
from moesize.memory.layout import Layout
from moesize.model.spec import ModelSpec
from moesize.progress import Progress, steps
from moesize.quant.names import resolve_quant
from moesize.question import Evaluation, Question, evaluate
from moesize.results import Verdict
from moesize.speed import speed_of

SCHEMA: Final = "moesize.compare/1"
SECONDS_PER_HOUR = 3600
#: What `--quant all` tries beside the checkpoint's own form.
ALL_QUANTS = ("bf16", "fp8", "int8", "gptq-8bit", "awq-4bit", "gptq-4bit", "nvfp4", "mxfp4", "bnb-nf4", "gptq-3bit")


@dataclass(slots=True, eq=False, repr=False)
class Row:
    """One model in one quantisation on one GPU, on the fewest of them that do, or on one where none does."""

    model: str
    quant: str
    gpu: str
    gpus: int
    tp: int
    pp: int
    verdict: Verdict
    reason: str
    memory_bytes: int
    budget_bytes: int
    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    runtime_bytes: int
    headroom_bytes: int
    max_context: int | None
    max_concurrency: float | None
    decode_tokens_per_second_bound: float | None
    bound_by: str | None
    instance: str | None
    usd_per_hour: float | None
    usd_per_million_tokens_bound: float | None
    price_date: str | None


@dataclass(slots=True, eq=False, repr=False)
class Comparison:
    """All rows, best first (schema `moesize.compare/1`); prices are list prices of their date.

    `skipped` says which formats are left out, and why: they cannot store a matrix, or the engine does not run them.
    """

    schema: str
    context: int | None
    concurrency: int
    sort: str
    rows: list[Row]
    skipped: list[str]


def compare(
    specs: Sequence[ModelSpec],
    gpus: Sequence[GpuSpec],
    quants: Sequence[str | None],
    *,
    context: int | None = None,
    concurrency: int = 1,
    kv_dtype: str = "auto",
    engine: str = "vllm",
    engine_version: str | None = None,
    max_gpus: int = MAX_GPUS,
    prices: Mapping[str, float] | None = None,
    sort: str = "price",
    options: EngineOptions | None = None,
    speculative: str | Mapping[str, Any] | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Every combination on the fewest GPUs it fits on; those that fit nowhere come last.

    Args:
        specs: The models.
        gpus: The cards.
        quants: Names of quantisations; None is what the checkpoint is stored in.
        context: Tokens per sequence; None takes min(8192, the model's own) of each model.
        concurrency: Sequences at once.
        kv_dtype: KV cache format.
        engine: Serving engine.
        engine_version: Its version.
        max_gpus: The most GPUs to try.
        prices: USD per hour by instance, in place of the list prices.
        sort: What is best: price, gpus, headroom, speed, context or token-price.
        options: Settings of the engine.
        speculative: What proposes tokens ahead, as `check` takes it.
        offline: Never ask the Hub for a drafting model.
        progress: Told how many combinations are done, of how many, and which is at hand.

    Raises:
        InputError: nothing to compare.
        MoesizeError: a question about no combination in particular is wrong.
    """
    _check_order(sort)
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
    firsts, left_out = questions_of(specs, quants, asked, "compare")
    return compare_questions(
        firsts,
        left_out,
        gpus,
        context=context,
        concurrency=concurrency,
        max_gpus=max_gpus,
        prices=prices,
        sort=sort,
        progress=progress,
    )


def compare_questions(
    firsts: Sequence[Question],
    left_out: LeftOut,
    gpus: Sequence[GpuSpec],
    *,
    context: int | None,
    concurrency: int,
    max_gpus: int,
    prices: Mapping[str, float] | None,
    sort: str,
    progress: Progress | None,
) -> Comparison:
    """`compare` of questions that are asked already, one for every model and format, of any card.

    Raises:
        InputError: nothing to compare.
    """
    _check_order(sort)
    questions = [replace(first, gpu=gpu) for first in firsts for gpu in gpus]
    rows: list[Row] = []
    for question in steps(questions, progress, _name):
        try:
            rows.append(_row(question, max_gpus, prices))
        except MoesizeError as error:  # what the engine does not run on this card or in this format leaves the others
            left_out.add(question.spec.name, question.scheme.name, error)
    if not rows:
        left_out.refuse("compare")
    return Comparison(SCHEMA, context, concurrency, sort, sorted(rows, key=_ORDERS[sort]), left_out.notes())


def _check_order(sort: str) -> None:
    if sort not in _ORDERS:
        raise UnknownNameError("sort order", sort, _ORDERS, f"known are {', '.join(_ORDERS)}")


def _name(question: Question) -> str:
    return f"{question.spec.name} on {question.gpu.name}"


def _row(question: Question, max_gpus: int, prices: Mapping[str, float] | None) -> Row:
    found = smallest_fit(question, max_gpus=max_gpus)
    if found is None:
        return row_of(question, _alone(question), prices, reason=f"does not fit on {max_gpus} GPUs")
    return row_of(*found, prices)


def _alone(question: Question) -> Evaluation:
    return evaluate(replace(question, layout=Layout()))


def row_of(question: Question, evaluation: Evaluation, prices: Mapping[str, float] | None, *, reason: str = "") -> Row:
    """One line of the table: an evaluated question with its price and its speed bounds where it fits."""
    sums, plan, layout = evaluation.totals, evaluation.plan, question.layout
    fits = evaluation.judgement.verdict != "oom"
    speed = speed_of(question, plan) if fits else None
    per_node = one_node_gpus(question)
    rental = cheapest_rental(question.gpu.id, layout.gpus, per_node=per_node, prices=prices) if fits else None
    rate = speed.tokens_per_second if speed else None
    per_million = rental.usd_per_hour / (rate * SECONDS_PER_HOUR) * 1e6 if rental and rate else None
    return Row(
        model=question.spec.name,
        quant=question.scheme.name,
        gpu=question.gpu.name,
        gpus=layout.gpus,
        tp=layout.tp,
        pp=layout.pp,
        verdict=evaluation.judgement.verdict,
        reason=reason or "; ".join(evaluation.judgement.reasons),
        memory_bytes=question.gpu.memory_bytes,
        budget_bytes=plan.budget_bytes,
        weights_bytes=sums.weights,
        kv_cache_bytes=sums.kv_cache,
        activation_bytes=sums.activation,
        runtime_bytes=sums.runtime,
        headroom_bytes=plan.budget_bytes - sums.total,
        max_context=plan.pool.max_context_tokens if plan.pool and fits else None,
        max_concurrency=round(plan.pool.max_concurrency, 2) if plan.pool and fits else None,
        decode_tokens_per_second_bound=round(rate, 1) if rate else None,
        bound_by=speed.binds if speed else None,
        instance=str(rental) if rental else None,
        usd_per_hour=round(rental.usd_per_hour, 4) if rental else None,
        usd_per_million_tokens_bound=round(per_million, 4) if per_million else None,
        price_date=rental.date if rental else None,
    )


_LAST = float("inf")


def _price(row: Row) -> tuple[float, ...]:
    return (row.usd_per_hour if row.usd_per_hour is not None else _LAST, row.gpus)


def _fewest(row: Row) -> tuple[float, ...]:
    return (row.gpus, row.usd_per_hour if row.usd_per_hour is not None else _LAST)


def _token_price(row: Row) -> tuple[float, ...]:
    return (row.usd_per_million_tokens_bound if row.usd_per_million_tokens_bound is not None else _LAST, row.gpus)


def _best_first(key: Callable[[Row], tuple[float, ...]]) -> Callable[[Row], tuple[object, ...]]:
    """Fitting rows before the others, then by `key`, then by name so that equal rows keep one order."""
    return lambda row: (row.verdict == "oom", *key(row), row.model, row.quant, row.gpu)


_ORDERS: dict[str, Callable[[Row], tuple[object, ...]]] = {
    "price": _best_first(_price),
    "gpus": _best_first(_fewest),
    "headroom": _best_first(lambda row: (-row.headroom_bytes,)),
    "speed": _best_first(lambda row: (-(row.decode_tokens_per_second_bound or 0.0),)),
    "context": _best_first(lambda row: (-(row.max_context or 0),)),
    "token-price": _best_first(_token_price),
}


def quants_for(specs: Iterable[ModelSpec], names: Sequence[str]) -> list[str | None]:
    """The quantisations of a `--quant` list: names, or `all` for one of each common width.

    Raises:
        UnknownNameError: a name no quantisation has.
    """
    if list(names) == ["all"]:
        return [None, *ALL_QUANTS]
    for name in names:
        for spec in specs:
            resolve_quant(name, spec)
    return list(names)
