"""The probe's plan: what is asked, what is predicted of it, and what will be allocated. No torch, no allocation."""

from dataclasses import dataclass, replace

from moesize.answer import term_out
from moesize.engines.base import EngineOptions, Term
from moesize.errors import InputError, MoesizeError, UnknownNameError
from moesize.hardware import catalogue
from moesize.hardware.gpu import GpuSpec, load_gpu
from moesize.memory.layout import stages
from moesize.memory.sharding import RankTensor, rank_tensors
from moesize.model.spec import ModelSpec
from moesize.probe.device import DeviceFacts
from moesize.probe.inventory import Inventory, rank_inventory
from moesize.probe.predict import (
    StepShape,
    forward_peak_bytes,
    mla_prefill_tokens,
    sampler_bytes,
    workspace_bytes,
)
from moesize.probe.results import SCHEMA, Asked, Catalogued, Comparison, Outcome, ProbeResult, Row
from moesize.probe.shapes import LayerShapes, layer_shapes, mla_rows
from moesize.question import Evaluation, Question, evaluate
from moesize.sizing import ask
from moesize.units import round_up

FORWARD, DECODE, SAMPLER = "forward pass, prefill", "forward pass, decode", "sampler"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run needs.

    Attributes:
        kv_layers: Tensors the KV pool is divided into: layers that keep a cache.
        kv_measured: How many of them are allocated.
        steps: The passes to run, by the name of their row.
    """

    question: Question
    evaluation: Evaluation
    rank: int
    tensors: tuple[RankTensor, ...]
    inventory: Inventory
    layers: tuple[LayerShapes, ...]
    mla_rows: int
    kv_layers: int
    kv_measured: int
    steps: dict[str, StepShape]

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        return self.question.spec

    @property
    def vocab(self) -> int:
        """Columns of the logits: every rank gathers the whole padded vocabulary."""
        return round_up(self.spec.vocab_size or 0, 64)

    @property
    def kv_bytes(self) -> int:
        """What the asked sequences take of the pool on this rank."""
        return self.evaluation.plan.pool.needed_bytes if self.evaluation.plan.pool else 0

    def mla_tokens(self, step: StepShape) -> int:
        """Rows MLA's prefill projects up in a step."""
        return mla_prefill_tokens(self.spec, self.tensors, self.mla_rows, step)

    def workspace_bytes(self, step: StepShape) -> int:
        """What the experts' kernels keep after a step."""
        return workspace_bytes(self.spec, self.tensors, self.question.layout, step)


def make_plan(
    spec: ModelSpec,
    facts: DeviceFacts,
    *,
    quant: str | None = None,
    tp: int = 1,
    rank: int = 0,
    layers: int | None = None,
    context: int | None = None,
    concurrency: int = 1,
    kv_dtype: str = "auto",
    options: EngineOptions | None = None,
) -> Plan:
    """The plan of a model on a device.

    Raises:
        MoesizeError: a rank that does not exist, a layout the model does not allow, or a model without known tensors.
    """
    if not 0 <= rank < tp:
        raise InputError(f"--rank is {rank}; with --tp {tp} ranks are 0 to {tp - 1}")
    if spec.counts or not spec.tensors:
        raise InputError(f"of {spec.name} only totals are published: there are no tensors to allocate")
    question = ask(
        spec,
        card_of(facts),
        tp=tp,
        quant=quant,
        context=context,
        concurrency=concurrency,
        kv_dtype=kv_dtype,
        options=options,
    )
    evaluation = evaluate(question)
    tensors = rank_tensors(spec, question.layout, stages(spec.num_layers, 1)[0])
    inventory = rank_inventory(tensors, question.scheme, layers)
    measured = {i for kind in inventory.kinds if not kind.tower for i in kind.measured}
    cached = [i for cache in spec.caches for i in cache.layers]
    engine = evaluation.plan
    tokens, seqs = engine.max_num_batched_tokens or 1, engine.max_num_seqs or 1
    decode = min(concurrency, seqs)
    return Plan(
        question=question,
        evaluation=evaluation,
        rank=rank,
        tensors=tensors,
        inventory=inventory,
        layers=layer_shapes(spec, tensors, inventory.kinds, tp) if spec.hidden_size else (),
        mla_rows=mla_rows(spec, tensors),
        kv_layers=len(cached),
        kv_measured=sum(i in measured for i in cached),
        steps={
            FORWARD: StepShape(tokens, seqs, question.workload.context_tokens),
            DECODE: StepShape(decode, decode, question.workload.context_tokens),
        },
    )


def card_of(facts: DeviceFacts) -> GpuSpec:
    """The device as engines see it: the catalogue's card with the driver's own total, or a card of that size."""
    total = facts.total_bytes
    found = known_card(facts)
    if found is None:
        return load_gpu(total)
    return replace(found, memory_bytes=total, memory_low_bytes=total, memory_high_bytes=total, memory_basis="given")


def known_card(facts: DeviceFacts) -> GpuSpec | None:
    """The catalogue's card of the device's name; of several, the one whose total is nearest."""
    if facts.kind == "cpu":
        return None
    try:
        cards = [catalogue.read_gpu(gpu_id) for gpu_id in catalogue.find(facts.name)]
    except UnknownNameError:
        return None
    return min(cards, key=lambda card: abs(card.memory_bytes - facts.total_bytes), default=None)


def catalogued(facts: DeviceFacts) -> Catalogued | None:
    """What the catalogue says of the device."""
    try:
        card = known_card(facts)
    except MoesizeError:
        return None
    if card is None:
        return None
    return Catalogued(card.id, card.name, card.memory_bytes, facts.total_bytes - card.memory_bytes)


def blank_result(plan: Plan, facts: DeviceFacts, outcome: Outcome) -> ProbeResult:
    """The result before anything is measured: every row with its prediction."""
    question, engine = plan.question, plan.evaluation.plan
    measured = sum(len(kind.measured) for kind in plan.inventory.kinds)
    prefill = plan.steps[FORWARD]
    return ProbeResult(
        schema=SCHEMA,
        device=facts,
        catalogue=catalogued(facts),
        asked=Asked(
            model=plan.spec.name,
            source=plan.spec.source,
            quant=question.scheme.name,
            engine=question.engine,
            engine_version=engine.version,
            tp=question.layout.tp,
            rank=plan.rank,
            context=question.workload.context_tokens,
            context_source=question.context_source,
            concurrency=question.workload.concurrency,
            kv_dtype=question.kv.name,
            max_num_batched_tokens=prefill.tokens,
            max_num_seqs=prefill.rows,
            layers=sum(len(kind.layers) for kind in plan.inventory.kinds),
            measured_layers=measured,
            layer_kinds=len(plan.inventory.kinds),
        ),
        rows=_rows(plan),
        outcome=outcome,
        comparison=Comparison(
            budget_bytes=engine.budget_bytes,
            predicted_total_bytes=plan.evaluation.totals.total,
            predicted=plan.evaluation.judgement.verdict,
        ),
        notes=[*facts.notes, *engine.notes],
        terms=[term_out(term) for term in engine.terms],
    )


def _rows(plan: Plan) -> list[Row]:
    spec, layout = plan.spec, plan.question.layout
    rows = [_engine_row(plan, "CUDA context", "CUDA context")]
    rows += [Row(role.value, "weights", n) for role, n in plan.inventory.predicted.items()]
    rows += [
        Row("allocator rounding", "weights", 0, note="what blocks are rounded up to"),
        Row("fragmentation", "weights", None, note="reserved and not allocated, after loading"),
        Row("KV cache", "kv_cache", plan.kv_bytes if plan.evaluation.plan.pool else None),
    ]
    if plan.layers:
        for name, step in plan.steps.items():
            what = f"{step.tokens} tokens through {len(plan.layers)} layers"
            rows.append(Row(name, "activation", forward_peak_bytes(spec, plan.tensors, layout, step), note=what))
        prefill = plan.steps[FORWARD]
        sampled = sampler_bytes(prefill.rows, plan.vocab, spec.dtype)
        rows.append(Row(SAMPLER, "activation", sampled, note=f"{prefill.rows} sequences × {plan.vocab} logits"))
    return [*rows, _engine_row(plan, "outside torch", "beyond torch")]


def _engine_row(plan: Plan, term: str, name: str) -> Row:
    """A row of what only calibration knows: the engine's term and its interval."""
    found: Term | None = next((t for t in plan.evaluation.plan.terms if t.term == term), None)
    if found is None:
        return Row(name, "runtime", None)
    return Row(
        name, "runtime", found.n_bytes, predicted_low_bytes=found.low_bytes, predicted_high_bytes=found.high_bytes
    )
