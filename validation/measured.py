"""Measured rows against predictions: one error per row and term, and the verdicts against what was observed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from moesize.engines.vllm import calibrated
from moesize.errors import MoesizeError
from moesize.question import Evaluation
from moesize.units import GIB
from validation import calibrate
from validation.rows import VLLM_FILES, Row, evaluation, load_rows, model_of, question

#: Printed with two decimals.
_ROUNDING_GIB = 0.005
_PRINTED_TOKENS = re.compile(r"GPU KV cache size: ([\d,]+) tokens")
CAMPAIGN = "vllm_h100_019.yaml"
GOOD, BAD = ("ok",), ("oom_load", "oom_runtime", "kv_too_small")


@dataclass(frozen=True, slots=True)
class Error:
    """A prediction against a printed figure; `relative` is signed."""

    term: str
    row: Row
    predicted: float
    observed: float

    @property
    def relative(self) -> float:
        """(predicted − observed) / observed."""
        return (self.predicted - self.observed) / abs(self.observed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was predicted of a row and what happened."""

    row: Row
    predicted: str
    observed: str


def scored_rows() -> Iterator[tuple[Row, Evaluation]]:
    """Rows whose model is in the catalogue and that the engine's rules answer."""
    for row in load_rows(*VLLM_FILES):
        if model_of(row.asked["model"]) is None:
            continue
        try:
            yield row, evaluation(row)
        except MoesizeError:
            continue


def unanswered() -> list[tuple[Row, str]]:
    """Rows that cannot be put as a question, and why."""
    found = []
    for row in load_rows(*VLLM_FILES):
        try:
            question(row)
            evaluation(row)
        except MoesizeError as error:
            found.append((row, str(error)))
    return found


def errors(rows: Iterable[tuple[Row, Evaluation]]) -> Iterator[Error]:
    """Every term a row prints and that is scored."""
    for row, found in rows:
        if row.weak:
            continue
        seen, plan, off = row.observed, found.plan, row.asked.get("not_scored", {})
        weights = sum(t.n_bytes for t in plan.terms if t.category == "weights") / GIB
        if "weights_gib" in seen and "weights" not in off:
            yield Error("weights", row, weights, seen["weights_gib"])
        one_stage = row.asked.get("pp", 1) == 1
        if row.version and seen.get("kv_gib", 0) > 0 and "kv_tokens" in seen and one_stage and "kv_tokens" not in off:
            yield Error("KV tokens from the printed GiB", row, tokens_from_printed(row), seen["kv_tokens"])
        if not row.complete or "pool" in off:
            continue
        if "activation_gib" in seen and one_stage:
            activation = sum(t.n_bytes for t in plan.terms if t.category == "activation" and t.in_budget) / GIB
            yield Error("activation peak", row, activation, seen["activation_gib"])
        yield from _pool_errors(row, found)


def _pool_errors(row: Row, found: Evaluation) -> Iterator[Error]:
    seen = row.observed
    term = "KV pool, H100 0.19" if row.file == CAMPAIGN else "KV pool, other rows"
    if row.asked.get("pp", 1) > 1:  # the printed GiB are the first stage's, the tokens those of the tightest
        if "kv_tokens" in seen:
            yield Error(term, row, printed_tokens(found) or 0, seen["kv_tokens"])
    elif seen.get("kv_gib", 0) > 0:
        yield Error(term, row, available_gib(found), seen["kv_gib"])


def available_gib(found: Evaluation) -> float:
    """What the plan leaves for the pool; negative where nothing is left."""
    plan = found.plan
    return (plan.budget_bytes - sum(t.n_bytes for t in plan.terms if t.in_budget)) / GIB


def printed_tokens(found: Evaluation) -> int | None:
    """Of the predicted log line; before V1 the blocks' worth."""
    for line in found.plan.log_lines:
        match = _PRINTED_TOKENS.search(line)
        if match:
            return int(match[1].replace(",", ""))
        if line.startswith("# GPU blocks:"):
            return int(line.rsplit(" ", 1)[1]) * 16
    return found.plan.pool.tokens if found.plan.pool else None


def tokens_from_printed(row: Row) -> float:
    """Tokens the row's own pool holds: the nearest to what was printed that GiB of two decimals allow."""
    seen = row.observed
    allowed = (seen["kv_gib"] - _ROUNDING_GIB, seen["kv_gib"] + _ROUNDING_GIB)
    bounds = [printed_tokens(evaluation(row, kv_cache_memory_bytes=round(gib * GIB))) or 0 for gib in allowed]
    return min(max(seen["kv_tokens"], bounds[0]), bounds[1])


def leave_one_model_out() -> Iterator[Error]:
    """The pool of every row with the calibrated terms fitted without any row of the same model.

    Where that leaves a group without rows, the nearest one stands in, as the engine does it.
    """
    found = calibrate.samples(load_rows(*VLLM_FILES))
    for one in found:
        row = one.row
        if one.beside is None:
            continue
        rest = calibrate.fit(s for s in found if s.row.asked["model"] != row.asked["model"])
        entries = [{"since": era, "gpu": gpu, "layout": layout, **f} for (era, gpu, layout), f in rest.items()]
        figures = calibrated.nearest(entries, one.group[0], one.group[1:])
        beyond = figures["activation_gib"]["value"] + figures["non_torch_gib"]["value"]
        plan = evaluation(row).plan
        known = sum(
            t.n_bytes for t in plan.terms if t.in_budget and (t.category == "weights" or t.term == "CUDA graphs")
        )
        pool = (plan.budget_bytes - known) / GIB - calibrate.derived_activation_gib(row) - beyond
        which = "H100 0.19" if row.file == CAMPAIGN else "other rows"
        yield Error(f"KV pool, {which}, leave one model out", row, pool, row.observed["kv_gib"])


def verdicts(rows: Iterable[tuple[Row, Evaluation]]) -> list[Verdict]:
    """Of every row with a known card, version and outcome."""
    found = []
    for row, result in rows:
        outcome = row.observed.get("outcome")
        if row.complete and not row.weak and outcome in (*GOOD, *BAD):
            found.append(Verdict(row, result.judgement.verdict, outcome))
    return found
