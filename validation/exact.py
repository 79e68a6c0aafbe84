"""Exact references: what vLLM 0.33's own classes hold after loading, plan for caches and peak at, on fake tensors.

Provenance of `vllm_weights.csv`, `vllm_kv_plans.csv` and `vllm_profile_run.csv`: vLLM 0.33.0's model, loader and cache
planning code run on fake tensors for an H100 80GB (SM90), 2026-11-21; quantised variants of models without such a
checkpoint are edits of their config.json.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace

from moesize.engines.base import EngineOptions, Request
from moesize.engines.vllm.capacity import capacity_of
from moesize.engines.vllm.constants import rules_for
from moesize.engines.vllm.engine import sharding_rules
from moesize.engines.vllm.pages import pages_of
from moesize.engines.vllm.pool import plan_pool
from moesize.engines.vllm.runtime import server_step
from moesize.engines.vllm.weights import rank_weights
from moesize.hardware.gpu import load_gpu
from moesize.memory.layout import stages
from moesize.memory.sharding import rank_tensors
from moesize.question import Question
from moesize.sizing import ask
from validation import DATA
from validation.rows import model_of

VERSION = "0.33.0"
#: Scalars of the run that belong to no layer: at most this many bytes a rank.
STRAY_BYTES = 96
#: (model, quant) -> why the reference is not what the product should say, and by how much it may differ.
EXPLAINED = {
    ("qwen3-30b-a3b", "gptq-4bit"): (
        18_628_608,
        "the reference's edited config.json quantises the routers too; checkpoints keep them in 16 bits",
    ),
    ("qwen3-next-80b-a3b", "fp8-block"): (
        4_716_320,
        "the reference's edited config.json quantises the 64-row in_proj_ba; the published FP8 checkpoint leaves it",
    ),
    ("mimo-v2-flash", "stored"): (
        402_554_976,
        "the published configuration leaves o_proj in 16 bits; the reference's copy has no such list",
    ),
    ("mixtral-8x7b", "nvfp4"): (
        6_304,
        "the reference is a compressed-tensors checkpoint, which keeps three more scalars per expert than ModelOpt's",
    ),
}


@dataclass(frozen=True, slots=True)
class Exact:
    """One reference value and ours."""

    what: str
    expected: float
    got: float
    explained: str = ""

    @property
    def equal(self) -> bool:
        """To the digits the reference has."""
        return abs(self.expected - self.got) <= (5e-5 if isinstance(self.expected, float) else 0)


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _question(row: dict[str, str], context: int, options: EngineOptions) -> Question:
    spec = model_of(row["model"])
    if spec is None:
        raise LookupError(f"no spec of {row['model']}")
    if spec.context_length and context > spec.context_length:
        spec = replace(spec, context_length=context)  # the reference was asked for it all the same
    return ask(
        spec,
        load_gpu("H100-SXM"),
        quant=None if row["quant"] == "stored" else row["quant"],
        context=context,
        kv_dtype=row.get("kv_dtype") or "auto",
        engine_version=VERSION,
        tp=int(row["tp"]),
        pp=int(row["pp"]),
        dp=int(row.get("dp") or 1),
        ep=row["ep"] == "1",
        options=options,
    )


def request_of(question: Question) -> Request:
    """What the engine is asked, in the dtype it serves."""
    spec = replace(question.spec, dtype=question.scheme.dtype)
    return Request(
        spec, question.scheme, question.kv, question.gpu, question.layout, question.workload, question.options, VERSION
    )


def kv_plans() -> Iterator[Exact]:
    """Blocks, tokens, concurrency and bytes of one request of every cache plan; the estimated length of refusals."""
    rules = rules_for(VERSION)
    for row in _rows("vllm_kv_plans.csv"):
        available, context = int(row["available_bytes"]), int(row["max_model_len"])
        request = request_of(_question(row, context, EngineOptions()))
        stage = stages(request.spec.num_layers, request.layout.pp)[int(row["rank"]) // request.layout.tp]
        pool = plan_pool(pages_of(request.spec, request.kv_format, request.layout, stage.layers, rules), rules)
        assert pool is not None  # noqa: S101
        found = capacity_of(request, rules, server_step(request, rules), [(pool, available)], pool)
        name = f"{row['model']} {row['quant']} {request.layout} {row['kv_dtype']} {context}"
        yield Exact(f"{name}: bytes of a request", int(row["request_bytes"]), found.pool.needed_bytes)
        if row["estimated_max_len"]:
            # vLLM searches in whole blocks of 16 tokens downwards from what was asked
            yield Exact(f"{name}: estimated length", int(row["estimated_max_len"]), found.pool.max_context_tokens)
            continue
        yield Exact(f"{name}: blocks", int(row["num_blocks"]), found.blocks)
        yield Exact(f"{name}: tokens", int(row["tokens"]), found.printed_tokens)
        yield Exact(f"{name}: concurrency", float(row["max_concurrency"]), round(found.pool.max_concurrency, 4))


def loaded_weights() -> Iterator[Exact]:
    """Bytes a rank holds after loading."""
    rules = rules_for(VERSION)
    for row in _rows("vllm_weights.csv"):
        request = request_of(_question(row, 8192, EngineOptions()))
        stage = stages(request.spec.num_layers, request.layout.pp)[int(row["rank"]) // request.layout.tp]
        tensors = rank_tensors(request.spec, request.layout, stage, sharding_rules(request.spec, rules))
        by_role, extras = rank_weights(request, tensors, stage, rules, server_step(request, rules).batched_tokens)
        got = sum(by_role.values()) + sum(n_bytes for _, n_bytes, _ in extras)
        expected = int(row["loaded_bytes"])
        allowed, why = EXPLAINED.get((row["model"], row["quant"]), (0, ""))
        stray = expected - got
        if 0 <= stray <= STRAY_BYTES:
            got, why = expected, ""  # scalars that belong to no layer
        explained = why if abs(stray) <= allowed else ""
        yield Exact(f"{row['model']} {row['quant']} {request.layout} rank {row['rank']}", expected, got, explained)


def profile_peaks() -> Iterator[Exact]:
    """Runner buffers and the peak of the profile run with what it keeps; the reference itself is good to 10–20 %."""
    from moesize.engines import load_engine  # noqa: PLC0415

    for row in _rows("vllm_profile_run.csv"):
        options = EngineOptions(
            max_num_batched_tokens=int(row["max_num_batched_tokens"]), max_num_seqs=int(row["max_num_seqs"])
        )
        asked = _question(row, int(row["max_model_len"]), options)
        plan = load_engine("vllm").plan(request_of(asked))
        name = f"{row['model']} {row['quant']} {asked.layout} {row['max_num_batched_tokens']}"
        peak = sum(t.n_bytes for t in plan.terms if t.term == "activations")
        yield Exact(f"{name}: peak", int(row["profile_peak_bytes"]), peak)
        if row["runner_persistent_bytes"]:
            kept = sum(t.n_bytes for t in plan.terms if t.term == "sampler state")
            yield Exact(f"{name}: runner", int(row["runner_persistent_bytes"]), kept)
