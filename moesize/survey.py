"""What one page says about models on GPUs: answers, their curves, what each model is made of, and the comparison."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from moesize.answer import answer
from moesize.combinations import asking, questions_of
from moesize.compare import Comparison, Row, compare_questions
from moesize.curves import Curves, curves
from moesize.engines.base import EngineOptions
from moesize.errors import InputError, MoesizeError
from moesize.explain import Explanation, explain
from moesize.hardware.gpu import GpuSpec
from moesize.layouts import MAX_GPUS
from moesize.memory.layout import Layout
from moesize.model.spec import ModelSpec
from moesize.progress import Progress, steps
from moesize.question import Question, choose_layout, evaluate
from moesize.results import CheckResult, Verdict

DEFAULT_CASES: Final = 8
_BEST_FIRST: Final[tuple[Verdict, ...]] = ("fits", "tight", "oom")


@dataclass(frozen=True, slots=True)
class LayoutWish:
    """The layout every combination is to have; with nothing in it, each takes the fewest GPUs it fits on."""

    gpus: int | None = None
    tp: int | None = None
    pp: int = 1
    dp: int = 1
    ep: bool = False

    @property
    def given(self) -> bool:
        """Whether anything is wished for."""
        return self != LayoutWish()


@dataclass(frozen=True, slots=True)
class Case:
    """One model in one quantisation on so many of one GPU: the answer of `check`, its curves, and the card."""

    result: CheckResult
    curves: Curves
    gpu: GpuSpec


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything the page shows; `comparison` has every combination, `cases` the best of each model, model by model."""

    models: tuple[Explanation, ...]
    cases: tuple[Case, ...]
    comparison: Comparison
    layout_given: bool
    skipped: tuple[str, ...]


def survey(
    specs: Sequence[ModelSpec],
    gpus: Sequence[GpuSpec],
    quants: Sequence[str | None],
    *,
    wish: LayoutWish | None = None,
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
    most_cases: int = DEFAULT_CASES,
    progress: Progress | None = None,
) -> Survey:
    """Compare every combination and look closely at the best.

    Args:
        specs: The models.
        gpus: The cards.
        quants: Names of quantisations; None is what the checkpoint is stored in.
        wish: The layout of the close looks; None takes the fewest GPUs that fit, as the comparison does.
        context: Tokens per sequence; None takes min(8192, the model's own) of each model.
        concurrency: Sequences at once.
        kv_dtype: KV cache format.
        engine: Serving engine.
        engine_version: Its version.
        max_gpus: The most GPUs the comparison tries.
        prices: USD per hour by instance, in place of the list prices.
        sort: What is best, as in `compare`.
        options: Settings of the engine.
        speculative: What proposes tokens ahead, as `check` takes it.
        offline: Never ask the Hub for a drafting model.
        most_cases: How many combinations to look at closely.
        progress: Told of every combination, then of every close look.

    Raises:
        InputError: two different models of one name, or nothing to look at.
        MoesizeError: a question about no combination in particular is wrong.
    """
    if most_cases < 1:
        raise InputError(f"{most_cases} combinations cannot be drawn; use at least 1")
    specs = _distinct(specs)
    ask_first = asking(
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
    questions, left_out = questions_of(specs, quants, ask_first, "compare")
    comparison = compare_questions(
        questions,
        left_out,
        gpus,
        context=context,
        concurrency=concurrency,
        max_gpus=max_gpus,
        prices=prices,
        sort=sort,
        progress=progress,
    )
    asked = {(question.spec.name, question.scheme.name): question for question in questions}
    comparison.rows = list({(row.model, row.quant, row.gpu): row for row in comparison.rows}.values())
    cards = {gpu.name: gpu for gpu in gpus}
    cases, skipped = _cases(comparison.rows, asked, cards, wish or LayoutWish(), most_cases, progress)
    if not cases:
        raise InputError("nothing is left to report: " + "; ".join(skipped))
    return Survey(
        models=tuple(explain(spec) for spec in specs),
        cases=cases,
        comparison=comparison,
        layout_given=wish is not None and wish.given,
        skipped=(*comparison.skipped, *skipped),
    )


def _distinct(specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Each model once."""
    by_name: dict[str, ModelSpec] = {}
    for spec in specs:
        other = by_name.setdefault(spec.name, spec)
        if other.source != spec.source:
            raise InputError(f"{other.source} and {spec.source} are both called {spec.name}; report on them separately")
    return list(by_name.values())


def _cases(
    rows: Sequence[Row],
    asked: Mapping[tuple[str, str], Question],
    cards: Mapping[str, GpuSpec],
    wish: LayoutWish,
    most: int,
    progress: Progress | None,
) -> tuple[tuple[Case, ...], list[str]]:
    """The best `most` combinations that can be laid out as wished, model by model, and why others cannot."""
    found: list[tuple[Verdict, Question]] = []
    skipped: dict[str, None] = {}
    for row in rows:
        question = replace(asked[row.model, row.quant], gpu=cards[row.gpu])
        try:
            question = replace(question, layout=_layout(row, question, wish))
            verdict = evaluate(question).judgement.verdict if wish.given else row.verdict
        except MoesizeError as error:
            skipped[f"{row.model} as {row.quant}: {error}"] = None
            continue
        found.append((verdict, question))
    found.sort(key=lambda one: _BEST_FIRST.index(one[0]))
    models = list(dict.fromkeys(name for name, _ in asked))
    best = sorted(_in_turn([question for _, question in found])[:most], key=lambda q: models.index(q.spec.name))
    return tuple(Case(answer(q), curves(q), q.gpu) for q in steps(best, progress, _name)), list(skipped)


def _name(question: Question) -> str:
    return f"curves of {question.spec.name} on {question.gpu.name}"


def _in_turn(questions: Sequence[Question]) -> list[Question]:
    """The best of each model, then the second of each, and so on: none is left out for being dear."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, Question]] = []
    for question in questions:
        ranked.append((seen[question.spec.name], question))
        seen[question.spec.name] += 1
    return [question for _, question in sorted(ranked, key=lambda one: one[0])]


def _layout(row: Row, question: Question, wish: LayoutWish) -> Layout:
    if not wish.given:
        return Layout(row.tp, row.pp)
    return choose_layout(
        gpus=wish.gpus,
        tp=wish.tp,
        pp=wish.pp,
        dp=wish.dp,
        ep=wish.ep,
        spec=question.spec,
        engine=question.engine,
    )
