"""The smallest cards that hold a workload: what `check` answers when no GPU is named."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from moesize.compare import Row, row_of
from moesize.data import read_yaml
from moesize.engines.base import EngineOptions
from moesize.errors import InputError, MoesizeError
from moesize.hardware.gpu import GpuSpec, load_gpu, served_gpus
from moesize.layouts import smallest_fit
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.progress import Progress, steps
from moesize.quant.hardware import Level, gpu_support, kind_of
from moesize.quant.kv import check_kv
from moesize.question import Evaluation, Question, evaluate
from moesize.results import EngineOut
from moesize.sizing import ask, engine_options, speculating

SCHEMA: Final = "moesize.smallest/1"
#: Weights that CUDA cards without units for them run through a weight-only kernel; other cards have none.
_NATIVE_ONLY: Final = frozenset({"fp8", "mxfp8", "nvfp4"})


@dataclass(slots=True, eq=False, repr=False)
class SmallestGpus:
    """The cards that would do, the smallest first (schema `moesize.smallest/1`); empty when none does.

    Each row is one card, or the layout that was given; only where no single card holds the workload, each is the fewest
    of a common card, fewest first. `nearest_miss` is the largest that does not do, with its reason.
    """

    schema: Literal["moesize.smallest/1"]
    model: str
    source: str
    quant: str
    kv_dtype: str
    engine: EngineOut
    context: int
    context_source: Literal["given", "default"]
    concurrency: int
    one_gpu: bool
    rows: list[Row]
    nearest_miss: Row | None
    notes: list[str]


def smallest_gpus(
    model: str | ModelSpec,
    *,
    gpus: int | None = None,
    quant: str | None = None,
    context: int | None = None,
    concurrency: int = 1,
    kv_dtype: str = "auto",
    engine: str = "vllm",
    engine_version: str | None = None,
    tp: int | None = None,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    dcp: int = 1,
    gpu_memory_utilization: float | None = None,
    max_num_batched_tokens: int | None = None,
    max_num_seqs: int | None = None,
    cpu_offload_gib: float = 0,
    enforce_eager: bool = False,
    speculative: str | Mapping[str, Any] | None = None,
    offline: bool = False,
    family: str | None = None,
    options: EngineOptions | None = None,
    strict: bool = False,
    cards: Sequence[GpuSpec] | None = None,
    progress: Progress | None = None,
) -> SmallestGpus:
    """The smallest cards that hold a model, served this way.

    Every row is one `check` calls `fits`, or `tight` with its total within the budget; cards that cannot run the
    formats asked for are passed over. With `gpus`, `tp`, `pp`, `dp` or `ep` each card is tried in that layout; without,
    alone first, and only if none does, the fewest of each common card that fit.

    Args:
        model: Anything `load_model` takes, or a spec.
        gpus: How many of each card; None tries one.
        quant: Weight format; None takes what the checkpoint is stored in.
        context: Tokens of a sequence, prompt and answer; None takes min(8192, the model's own).
        concurrency: Sequences at once, on one data-parallel replica.
        kv_dtype: KV cache format; `auto` follows the checkpoint.
        engine: Serving engine.
        engine_version: Its version; None takes the newest known.
        tp: Tensor parallel size; None takes what the GPUs allow.
        pp: Pipeline stages.
        dp: Data parallel replicas.
        ep: Spread whole experts over the tp × dp ranks.
        dcp: Decode context parallel size.
        gpu_memory_utilization: Fraction of the card the engine may use; None takes the version's default.
        max_num_batched_tokens: Tokens of one step; None takes the server's default for the card.
        max_num_seqs: Sequences of one step; None likewise.
        cpu_offload_gib: Weights kept in host memory, per GPU.
        enforce_eager: No CUDA graphs.
        speculative: What proposes tokens ahead, as `check` takes it.
        offline: Never ask the Hub.
        family: Read a configuration of unknown model_type as this family.
        options: Settings only some engines have; those above take precedence.
        strict: Leave out what is `tight`.
        cards: What to try; None takes every NVIDIA and AMD card of the catalogue but boards for the edge.
        progress: Told how many cards are done, of how many, and the name of the last.

    Raises:
        MoesizeError: the question cannot be answered on any card; its text says why in one sentence.
    """
    spec = model if isinstance(model, ModelSpec) else load_model(model, offline=offline, family=family)
    tried = sorted(served_gpus() if cards is None else cards, key=lambda card: (card.memory_bytes, card.name))
    if not tried:
        raise InputError("no card is given to try")
    question = ask(
        spec,
        tried[0],
        gpus=gpus,
        quant=quant,
        context=context,
        concurrency=concurrency,
        kv_dtype=kv_dtype,
        engine=engine,
        engine_version=engine_version,
        tp=tp,
        pp=pp,
        dp=dp,
        ep=ep,
        dcp=dcp,
        options=engine_options(
            speculating(options, spec, speculative, engine, offline=offline),
            gpu_memory_utilization=gpu_memory_utilization,
            max_num_batched_tokens=max_num_batched_tokens,
            max_num_seqs=max_num_seqs,
            enforce_eager=enforce_eager,
            cpu_offload_gib=cpu_offload_gib,
        ),
    )
    able = [card for card in tried if _runs(question, card)]
    if not able:
        raise InputError(f"none of {len(tried)} cards runs {question.scheme.name} weights with {question.engine}")
    given = (gpus, tp, pp, dp, ep) != (None, None, 1, 1, False)
    outcomes = list(_each(question, steps(able, progress, _name)))
    held = [one for one in outcomes if _holds(one[1], strict=strict)]
    misses = [one for one in outcomes if not _holds(one[1], strict=strict)]
    rows = [row_of(*one, None) for one in held]
    if not rows and not given:
        common = able if cards is not None else [card for card in _common() if _runs(question, card)]
        found = [smallest_fit(replace(question, gpu=card)) for card in steps(common, progress, _name)]
        rows = [row_of(*one, None) for one in found if one is not None]
        rows.sort(key=lambda row: (row.gpus, row.memory_bytes, row.gpu))
    first = outcomes[0]
    return SmallestGpus(
        schema=SCHEMA,
        model=spec.name,
        source=spec.source,
        quant=question.scheme.name,
        kv_dtype=question.kv.name,
        engine=EngineOut(question.engine, first[1].plan.version),
        context=question.workload.context_tokens,
        context_source=question.context_source,
        concurrency=question.workload.concurrency,
        one_gpu=all(row.gpus == 1 for row in rows),
        rows=rows,
        nearest_miss=row_of(*misses[-1], None) if misses else None,
        notes=[*spec.notes, *question.scheme.notes],
    )


def _each(question: Question, cards: Iterable[GpuSpec]) -> Iterator[tuple[Question, Evaluation]]:
    """The question on every card whose rules allow it.

    Raises:
        MoesizeError: no card's do; what the first says.
    """
    refused: MoesizeError | None = None
    answered = False
    for card in cards:
        asked = replace(question, gpu=card)
        try:
            evaluation = evaluate(asked)
        except MoesizeError as error:
            refused = refused or error
            continue
        answered = True
        yield asked, evaluation
    if refused is not None and not answered:
        raise refused


def _holds(evaluation: Evaluation, *, strict: bool) -> bool:
    """Whether it fits; short of `strict` also where it is `tight` and the budget holds the total."""
    verdict = evaluation.judgement.verdict
    within = evaluation.totals.total <= evaluation.plan.budget_bytes
    return verdict == "fits" or (verdict == "tight" and within and not strict)


def _runs(question: Question, card: GpuSpec) -> bool:
    """Whether kernels for these weights and this cache exist for the card; where nobody says, yes."""
    if card.compute_capability is None:
        kind = kind_of(question.scheme)
        return kind not in _NATIVE_ONLY or kind in card.native_formats
    major, minor = card.compute_capability
    capability = float(f"{major}.{minor}")
    try:
        check_kv(question.kv, capability=capability)
    except InputError:
        return False
    return gpu_support(question.scheme, capability, engine=question.engine).level is not Level.UNSUPPORTED


def _name(card: GpuSpec) -> str:
    return card.name


def _common() -> list[GpuSpec]:
    """The cards advice tries."""
    tried: dict[str, Any] = read_yaml(Path(__file__).with_name("advice.yaml"))
    return [load_gpu(gpu_id) for gpu_id in tried["cards"]]
