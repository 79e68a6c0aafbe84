"""Questions and their answers, each evaluated once in a run: a tree repeats itself."""

from dataclasses import dataclass, field, replace
from typing import Any

from moesize.engines.base import EngineOptions
from moesize.errors import InputError, MoesizeError
from moesize.gate.case import Outcome
from moesize.hardware.gpu import GpuSpec
from moesize.memory.layout import LayoutError
from moesize.model.names import Match
from moesize.model.spec import ModelSpec
from moesize.question import Evaluation, Question, evaluate
from moesize.sizing import ask


@dataclass(frozen=True, slots=True)
class Asked:
    """A question by its names, as `sizing.ask` takes it."""

    quant: str | None
    context: int | None
    concurrency: int
    kv_dtype: str
    engine: str
    version: str | None
    tp: int
    pp: int
    dp: int
    ep: bool
    options: EngineOptions
    dcp: int = 1


@dataclass(slots=True)
class Estimator:
    """The memory of one run, or of several. Specs and GPUs are held for as long as their answers are."""

    specs: dict[Match, ModelSpec] = field(default_factory=dict)

    _outcomes: dict[tuple[int, str, int, Asked], Outcome] = field(default_factory=dict)
    _evaluations: dict[Any, Evaluation | MoesizeError] = field(default_factory=dict)
    _advice: dict[Any, tuple[str, ...]] = field(default_factory=dict)
    _held: dict[int, ModelSpec] = field(default_factory=dict)
    _longer: dict[tuple[int, int], ModelSpec] = field(default_factory=dict)

    def outcome(self, spec: ModelSpec, gpu: GpuSpec, asked: Asked) -> Outcome:
        """The answer to a question, or why the engine refuses it."""
        self._held[id(spec)] = spec
        key = (id(spec), gpu.id, gpu.memory_bytes, asked)
        if key not in self._outcomes:
            self._outcomes[key] = self._answer(spec, gpu, asked)
        return self._outcomes[key]

    def stretched(self, spec: ModelSpec, context: int) -> ModelSpec:
        """The spec with positions up to `context`, for launches that scale them."""
        self._held[id(spec)] = spec
        key = (id(spec), context)
        if key not in self._longer:
            self._longer[key] = replace(spec, context_length=context)
        return self._longer[key]

    def again(self, question: Question) -> Evaluation | None:
        """The evaluation of a changed question; None where the engine refuses it."""
        found = self._evaluate(question)
        return None if isinstance(found, MoesizeError) else found

    def advice(self, question: Question, evaluation: Evaluation) -> tuple[str, ...]:
        """The nearest changes that fit, each tried through the same estimator."""
        key = _key(question)
        if key not in self._advice:
            from moesize.advice import suggestions_for  # noqa: PLC0415  only what does not fit needs advice

            self._advice[key] = tuple(s.change for s in suggestions_for(question, evaluation))
        return self._advice[key]

    def _answer(self, spec: ModelSpec, gpu: GpuSpec, asked: Asked) -> Outcome:
        try:
            question = ask(
                spec,
                gpu,
                quant=asked.quant,
                context=asked.context,
                concurrency=asked.concurrency,
                kv_dtype=asked.kv_dtype,
                engine=asked.engine,
                engine_version=asked.version,
                tp=asked.tp,
                pp=asked.pp,
                dp=asked.dp,
                ep=asked.ep,
                dcp=asked.dcp,
                options=asked.options,
            )
        except MoesizeError as error:
            return Outcome(None, refusal=str(error))
        found = self._evaluate(question)
        if isinstance(found, InputError) and not isinstance(found, LayoutError) and asked.version is not None:
            # an image's tag may be of a version whose rules are not known: the newest known stand in
            newest = replace(question, version=None)
            instead = self._evaluate(newest)
            if not isinstance(instead, MoesizeError):
                note = f"{found}: judged as {asked.engine} {instead.plan.version}"
                return Outcome(newest, instead, notes=(note,))
        if isinstance(found, MoesizeError):
            return Outcome(question, refusal=str(found))
        return Outcome(question, found)

    def _evaluate(self, question: Question) -> Evaluation | MoesizeError:
        key = _key(question)
        if key not in self._evaluations:
            self._held[id(question.spec)] = question.spec
            try:
                self._evaluations[key] = evaluate(question)
            except MoesizeError as error:
                self._evaluations[key] = error
        return self._evaluations[key]


def _key(question: Question) -> tuple[object, ...]:
    """What makes two questions the same; specs by identity, for they are loaded once."""
    return (
        id(question.spec),
        (question.scheme.name, question.scheme.dtype, question.kv.name),
        (question.gpu.id, question.gpu.memory_bytes),
        (question.layout, question.workload, question.engine, question.version, question.options),
    )
