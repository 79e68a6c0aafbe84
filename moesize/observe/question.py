"""A log as a question: the model, the card and the settings it names, as they would be asked of moesize."""

from dataclasses import dataclass, replace
from pathlib import Path

from moesize.engines.base import EngineOptions, EnginePlan, Speculation
from moesize.errors import InputError, MoesizeError, printable
from moesize.hardware.gpu import GpuSpec, load_gpu
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.observe.observation import Observation
from moesize.question import Question, evaluate
from moesize.sizing import ask
from moesize.speculation import METHODS, read_method, speculation_of
from moesize.units import GIB

#: Stands in where neither log nor user names a card; then only what does not depend on one is compared.
_ANY_CARD = "80GiB"
_FILES = (".json", ".yaml", ".yml", ".gguf", ".safetensors")


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
    notes += _taken_for(seen, asked, spec)
    gpu_name, card = _card(seen, asked)
    if card is None:
        notes.append("the log names no card: only weights are predicted; --gpu says which it is")
    try:
        speculation, unsized = _speculation(seen, spec)
        notes += [unsized] if unsized else []
        question = _question(seen, asked, spec, card or load_gpu(_ANY_CARD), speculation)
        evaluation = evaluate(question)
    except MoesizeError as error:
        if asked.model or asked.gpu or asked.quant:
            raise
        return Answered(None, None, None, spec.name, gpu_name, (*notes, f"not predicted: {error}"))
    verdict = evaluation.judgement.verdict if card else None
    return Answered(question, evaluation.plan, verdict, spec.name, gpu_name, (*notes, *evaluation.plan.notes))


def _model(seen: Observation, asked: Asked) -> ModelSpec | None:
    if asked.model:
        return load_model(asked.model, offline=asked.offline)
    return _known(str(seen.settings.get("model") or ""))


def _known(text: str) -> ModelSpec | None:
    """The model a log's text names, where moesize knows it."""
    for name in model_names(text):
        try:
            if Path(name).exists():
                continue
            return load_model(name, offline=True)
        except (MoesizeError, OSError):
            continue
    return None


def _taken_for(seen: Observation, asked: Asked, spec: ModelSpec) -> list[str]:
    """Whether the checkpoint of the log is only thought to be the known one, its publisher being another."""
    names = model_names(str(seen.settings.get("model")))
    publisher = names[0] if "/" in names[0] else None
    if asked.model or publisher is None or publisher in spec.hub_ids:
        return []
    return [f"the log's {printable(publisher)} is taken for {spec.hub_ids[0] if spec.hub_ids else spec.name}"]


def _speculation(seen: Observation, spec: ModelSpec) -> tuple[Speculation | None, str | None]:
    """What the log says the server drafted with; or, where that cannot be sized, a sentence that says so."""
    method, model, tokens = (seen.settings.get(f"speculative_{key}") for key in ("method", "model", "tokens"))
    if tokens is None:
        return None, None
    unsized = "predicted without the speculation the log names: "
    given = {"method": method, "num_speculative_tokens": tokens}
    try:
        if not METHODS[read_method(given)]:
            return speculation_of(spec, given, None, engine=seen.engine), None
        draft = _known(str(model))
        if draft is None:
            return None, f"{unsized}its drafting model {printable(str(model))!r} is none moesize knows"
        return speculation_of(spec, given, draft, engine=seen.engine), None
    except MoesizeError as error:
        return None, f"{unsized}{error}"


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


def _question(
    seen: Observation, asked: Asked, spec: ModelSpec, card: GpuSpec, speculation: Speculation | None
) -> Question:
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
        dcp=have.get("dcp", 1),
        options=EngineOptions(
            gpu_memory_utilization=have.get("gpu_memory_utilization"),
            max_num_batched_tokens=have.get("max_num_batched_tokens"),
            max_num_seqs=have.get("max_num_seqs"),
            enforce_eager=bool(have.get("enforce_eager")),
            speculation=speculation,
            prefix_caching=have.get("prefix_caching"),
            max_cudagraph_capture_size=have.get("max_cudagraph_capture_size"),
            language_model_only=bool(have.get("language_model_only")),
            flashinfer_sampler=have.get("flashinfer_sampler"),
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
