"""The same question put to moesize: predicted and measured, figure by figure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from moesize.answer import term_out
from moesize.engines.base import EngineOptions, EnginePlan
from moesize.errors import InputError, MoesizeError, printable
from moesize.hardware.gpu import GpuSpec, load_gpu
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.observe.observation import Observation
from moesize.observe.read import read_log
from moesize.question import Question, evaluate
from moesize.results import TermOut
from moesize.sizing import ask
from moesize.units import GIB, gib

SCHEMA = "moesize.observe/1"
#: Stands in where neither log nor user names a card; then only what does not depend on one is compared.
_ANY_CARD = "80GiB"
#: figure of the log -> category and term of the plan (None: the whole category)
_TERMS = {
    "weights_gib": ("weights", None),
    "activation_gib": ("activation", None),
    "non_torch_gib": ("runtime", "outside torch"),
    "graphs_gib": ("runtime", "CUDA graphs"),
}
_WITHOUT_CARD = ("weights_gib",)
_FILES = (".json", ".yaml", ".yml", ".gguf", ".safetensors")


@dataclass(slots=True)
class Held:
    """One figure: what was predicted (with its interval) and what was printed, in the figure's unit."""

    figure: str
    predicted: float | None
    measured: float
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float | None:
        """Printed minus predicted."""
        return None if self.predicted is None else self.measured - self.predicted


@dataclass(slots=True)
class ObserveResult:
    """The whole answer."""

    schema: str
    engine: str
    version: str | None
    predicted_with: str | None
    model: str
    gpu: str | None
    settings: dict[str, Any]
    outcome: str | None
    rows: list[Held]
    predicted_verdict: str | None = None
    terms: list[TermOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the log leaves open and the user may say."""

    model: str | None = None
    gpu: str | None = None
    quant: str | None = None
    engine_version: str | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The question a log amounts to, and its plan; None when it cannot be asked, with the reason among `notes`."""

    question: Question | None
    plan: EnginePlan | None
    verdict: str | None
    model: str
    gpu: str | None
    notes: tuple[str, ...]


def answer_log(seen: Observation, asked: Asked) -> Answered:
    """Put the log's own question.

    Raises:
        MoesizeError: the model, the GPU or the quantisation the user names is not known.
    """
    notes = [f"{seen.starts} starts are in the log; the last one is read"] if seen.starts > 1 else []
    spec = _model(seen, asked)
    if spec is None:
        named = printable(str(seen.settings.get("model") or "no model"))
        why = f"the log names {named!r}, which is no model moesize knows; --model says which it is"
        return Answered(None, None, None, named, asked.gpu, (*notes, why))
    gpu_name, card = _card(seen, asked)
    if card is None:
        notes.append("the log names no card: only weights are predicted; --gpu says which it is")
    try:
        question = _question(seen, asked, spec, card or load_gpu(_ANY_CARD))
        evaluation = evaluate(question)
    except MoesizeError as error:
        if asked.model or asked.gpu or asked.quant:
            raise
        return Answered(None, None, None, spec.name, gpu_name, (*notes, f"not predicted: {error}"))
    verdict = evaluation.judgement.verdict if card else None
    return Answered(question, evaluation.plan, verdict, spec.name, gpu_name, (*notes, *evaluation.plan.notes))


def compare(seen: Observation, asked: Asked) -> ObserveResult:
    """Predicted beside printed.

    Raises:
        MoesizeError: the model, the GPU or the quantisation the user names is not known.
    """
    answered = answer_log(seen, asked)
    with_card = answered.gpu is not None
    return ObserveResult(
        schema=SCHEMA,
        engine=seen.engine,
        version=seen.version,
        predicted_with=answered.plan.version if answered.plan else None,
        model=answered.model,
        gpu=answered.gpu,
        settings=dict(sorted(seen.settings.items())),
        outcome=seen.outcome,
        rows=[
            _held(name, value, answered, seen.engine, with_card=with_card)
            for name, value in sorted(seen.printed().items())
        ],
        predicted_verdict=answered.verdict,
        terms=[term_out(term) for term in answered.plan.terms if with_card or term.category == "weights"]
        if answered.plan
        else [],
        notes=list(answered.notes),
    )


def _held(name: str, value: float, answered: Answered, engine: str, *, with_card: bool) -> Held:
    plan = answered.plan
    if plan is None or not (with_card or name in _WITHOUT_CARD):
        return Held(name, None, value)
    if name in _TERMS:
        category, term = _TERMS[name]
        terms = [t for t in plan.terms if t.category == category and term in (None, t.term)]
        if not terms:
            return Held(name, None, value)
        predicted = sum(t.n_bytes for t in terms)
        low, high = sum(t.low_bytes for t in terms), sum(t.high_bytes for t in terms)
        return Held(name, round(gib(predicted), 4), value, round(gib(low), 4), round(gib(high), 4))
    return Held(name, _predicted_line(name, plan, engine), value)


def _predicted_line(name: str, plan: EnginePlan, engine: str) -> float | None:
    """The figure as the predicted lines of this version print it; its meaning changed between versions."""
    printed = read_log(plan.log_lines, engine).figure(name) if plan.log_lines else None
    return _pool_figure(name, plan) if printed is None else printed


def _pool_figure(name: str, plan: EnginePlan) -> float | None:
    if name == "gpu_total_gib":
        return round(gib(plan.device_bytes), 4)
    if plan.pool is None:
        return None
    figures: Mapping[str, float] = {
        "kv_gib": round(gib(plan.pool.n_bytes), 4),
        "kv_tokens": plan.pool.tokens,
        "concurrency": round(plan.pool.max_concurrency, 2),
        "estimated_max_len": plan.pool.max_context_tokens,
        "need_gib": round(gib(plan.pool.needed_bytes), 4),
    }
    return figures.get(name)


def _model(seen: Observation, asked: Asked) -> ModelSpec | None:
    if asked.model:
        return load_model(asked.model, offline=asked.offline)
    for name in model_names(str(seen.settings.get("model") or "")):
        try:
            if Path(name).exists():
                continue
            return load_model(name, offline=True)
        except (MoesizeError, OSError):
            continue
    return None


def model_names(text: str) -> list[str]:
    """What a model's name in a log may be known by: an id, a Hub cache folder, the end of a path. Never a path itself.

    A log is foreign: its paths are not opened.
    """
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    cached = next((part.removeprefix("models--") for part in parts if part.startswith("models--")), None)
    if cached:
        return [cached.replace("--", "/", 1), cached.rpartition("--")[2]]
    names = ["/".join(parts[-2:])] if len(parts) > 1 else []
    return [name for name in (*names, *parts[-1:]) if _is_name(name)]


def _is_name(name: str) -> bool:
    return name[0].isalnum() and len(name) < 200 and not name.endswith(_FILES)


def _card(seen: Observation, asked: Asked) -> tuple[str | None, GpuSpec | None]:
    """The card, with the total the log prints where it does."""
    name, total_gib = asked.gpu or seen.settings.get("gpu"), seen.figure("gpu_total_gib")
    card: GpuSpec | None = None
    if name:
        try:
            card = load_gpu(str(name))
        except MoesizeError:
            if asked.gpu:
                raise
    if card is None and not total_gib:
        return None, None
    if total_gib:
        total = round(total_gib * GIB)
        if card is None:
            return f"{total_gib:g} GiB", load_gpu(total)
        card = replace(card, memory_bytes=total, memory_low_bytes=total, memory_high_bytes=total)
    return (card.name, card) if card else (None, None)


def _question(seen: Observation, asked: Asked, spec: ModelSpec, card: GpuSpec) -> Question:
    have = seen.settings
    context = have.get("max_model_len")
    if context and spec.context_length and context > spec.context_length:
        spec = replace(spec, context_length=context)
    quant = asked.quant or _quant(have.get("quantization"), spec)
    return ask(
        spec,
        card,
        quant=quant,
        context=context,
        kv_dtype=str(have.get("kv_dtype", "auto")),
        engine=seen.engine,
        engine_version=asked.engine_version or (seen.version if seen.engine == "vllm" else None),
        tp=have.get("tp", 1),
        pp=have.get("pp", 1),
        dp=have.get("dp", 1) if seen.engine == "vllm" else 1,
        ep=bool(have.get("ep")) or have.get("ep_size", 1) > 1,
        options=EngineOptions(
            gpu_memory_utilization=have.get("gpu_memory_utilization"),
            max_num_batched_tokens=have.get("max_num_batched_tokens"),
            max_num_seqs=have.get("max_num_seqs"),
            enforce_eager=bool(have.get("enforce_eager")),
        ),
    )


def _quant(stated: object, spec: ModelSpec) -> str | None:
    """The format an engine quantises to while loading; None when the checkpoint is what it is."""
    if not stated or spec.quantization_config or spec.quant_hint:
        return None
    known = {"fp8": "fp8", "bitsandbytes": "nf4", "mxfp4": None, "gpt_oss_mxfp4": None}
    name = str(stated)
    if name not in known:
        raise InputError(
            f"the log says quantization={printable(name)} of an unquantised model; --quant says which format"
        )
    return known[name]
