"""One deployment as it will be judged: the model it means, every GPU it may land on, and what each comes to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from moesize.gate.demands import Demands
from moesize.gate.facts import Deployment, GpuChoice, Source
from moesize.hardware.gpu import GpuSpec
from moesize.model.spec import ModelSpec
from moesize.question import Evaluation, Question

CaseVerdict = Literal["fits", "tight", "oom", "refused", "undecided"]

#: From the best outcome to the worst: any-of lists and several candidates are as good as their worst.
_ORDER: tuple[CaseVerdict, ...] = ("fits", "tight", "undecided", "refused", "oom")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that is missing: what it is about, why it is not known, and what would decide it."""

    about: Literal["model", "gpu", "engine", "quantization", "setting"]
    why: str
    decide: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question and its answer, or why the engine refuses it."""

    question: Question | None
    evaluation: Evaluation | None = None
    refusal: str | None = None
    #: Sentences about what was assumed on the way, such as an engine version that is not known.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One GPU a deployment may run on.

    Attributes:
        choice: As the file names it; None when the GPU is the policy's default or is not known.
        several: The name leaves open which of several memory sizes is meant; this is one of them.
        gpus_given: GPUs of one copy, all its pods together; None where nothing says so.
        gpus_needed: GPUs the layout spreads over.
    """

    gpu: GpuSpec | None
    choice: GpuChoice | None
    several: bool
    gpus_given: int | None
    gpus_needed: int | None
    outcome: Outcome | None

    @property
    def verdict(self) -> CaseVerdict:
        """The verdict on this GPU alone."""
        if self.outcome is None:
            return "undecided"
        if self.outcome.refusal is not None:
            return "refused"
        if self.outcome.evaluation is None or self.gpu is None:
            return "undecided"
        return self.outcome.evaluation.judgement.verdict


@dataclass(frozen=True, slots=True)
class Case:
    """A deployment with everything the rules look at.

    Attributes:
        model: What was looked up under `model_name`, known by `model_source`.
        options: One entry per GPU it may run on; empty where model or layout are not known.
        unknowns: What is missing for a verdict.
        notes: What was assumed.
        lock_doubt: Where a locked spec of the model says something else than the catalogue.
        try_again: Evaluates another question through the run's memory of answers.
        advise: The nearest changes that fit, each tried, as words.
    """

    deployment: Deployment
    demands: Demands
    model: ModelSpec | None
    model_name: str | None
    model_source: Source
    options: tuple[Option, ...]
    unknowns: tuple[Unknown, ...]
    notes: tuple[str, ...]
    lock_doubt: str | None
    try_again: Callable[[Question], Evaluation | None]
    advise: Callable[[Question, Evaluation], tuple[str, ...]]

    @property
    def verdict(self) -> CaseVerdict:
        """The worst of the options; an out-of-memory stands whatever else is unknown."""
        verdicts: list[CaseVerdict] = [option.verdict for option in self.options]
        if self.sizes_disagree or not verdicts:
            return "undecided"
        if self.unknowns:
            verdicts.append("undecided")
        return max(verdicts, key=_ORDER.index)

    @property
    def sizes_disagree(self) -> bool:
        """Whether one GPU name stands for cards of which some fit and others do not."""
        open_names = {option.verdict for option in self.options if option.several}
        sure = {option.verdict for option in self.options if not option.several}
        return len(open_names) > 1 and "oom" in open_names and "oom" not in sure

    @property
    def worst(self) -> Option | None:
        """The option that decides."""
        return max(self.options, key=lambda option: _ORDER.index(option.verdict), default=None)

    def failing(self) -> tuple[Option, ...]:
        """Options that do not fit for certain, each GPU once."""
        if self.sizes_disagree:
            return ()
        found = {o.gpu.id: o for o in self.options if o.gpu is not None and o.verdict == "oom"}
        return tuple(found.values())
