"""Combinations of models and formats as questions, and those that are left out because one cannot be asked."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from moesize.engines.base import EngineOptions
from moesize.errors import InputError, MoesizeError
from moesize.hardware.gpu import GpuSpec
from moesize.layouts import whole_weights_bytes
from moesize.model.spec import ModelSpec
from moesize.quant.formats import UnstorableError
from moesize.question import Question
from moesize.sizing import ask, speculating


def asking(
    gpu: GpuSpec,
    *,
    context: int | None,
    concurrency: int,
    kv_dtype: str,
    engine: str,
    engine_version: str | None,
    options: EngineOptions | None,
    speculative: str | Mapping[str, Any] | None,
    offline: bool,
) -> Callable[[ModelSpec, str | None], Question]:
    """A function that asks about a model in a format on one card; a drafting model is loaded once for each."""

    @cache
    def own(spec: ModelSpec) -> EngineOptions | None:
        return speculating(options, spec, speculative, engine, offline=offline)

    def question(spec: ModelSpec, quant: str | None) -> Question:
        return ask(
            spec,
            gpu,
            quant=quant,
            context=context,
            concurrency=concurrency,
            kv_dtype=kv_dtype,
            engine=engine,
            engine_version=engine_version,
            options=own(spec),
        )

    return question


class LeftOut:
    """What was left out, by model and reason: one sentence for all formats that share it."""

    def __init__(self) -> None:
        self._formats: dict[tuple[str, str], dict[str, None]] = {}
        self._errors: list[MoesizeError] = []

    def add(self, model: str, quant: str, error: MoesizeError) -> None:
        """Leave a combination out for what is wrong with it."""
        why = error.why if isinstance(error, UnstorableError) else str(error)
        self._formats.setdefault((model, why), {})[quant] = None
        self._errors.append(error)

    def notes(self) -> list[str]:
        """`gpt-oss-120b as awq-4bit, gptq-4bit: model.layers…q_proj.weight needs …`."""
        return [f"{model} as {', '.join(formats)}: {why}" for (model, why), formats in self._formats.items()]

    def refuse(self, what: str) -> NoReturn:
        """Say why nothing is left: in the words of the one reason there is, or all of them.

        Raises:
            MoesizeError: always.
        """
        if len({str(error) for error in self._errors}) == 1:
            raise self._errors[0]
        raise InputError(f"nothing is left to {what}: " + "; ".join(self.notes()))


def questions_of(
    specs: Sequence[ModelSpec],
    quants: Sequence[str | None],
    ask: Callable[[ModelSpec, str | None], Question],
    what: str,
) -> tuple[list[Question], LeftOut]:
    """A question for every model in every format that can store it, and what is left out.

    Raises:
        MoesizeError: none can be asked.
    """
    found: list[Question] = []
    left_out = LeftOut()
    for spec in specs:
        for quant in quants:
            try:
                question = ask(spec, quant)
                whole_weights_bytes(question)  # a format is held against the shapes when their bytes are counted
            except MoesizeError as error:
                left_out.add(spec.name, quant or "stored", error)
            else:
                found.append(question)
    if not found:
        left_out.refuse(what)
    return found, left_out
