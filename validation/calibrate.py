"""Fits what vLLM takes beyond the derived terms from measured rows, and writes the engine's `calibrated.json`.

A row falls into a group by version era, class of card and layout. Of every group: the median of what was left beside
the derived terms, and the range seen. `python -m validation.calibrate` rewrites the file; a test asserts that it is up
to date.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from moesize.engines.vllm import calibrated
from moesize.engines.vllm.constants import rules_for, version_key
from moesize.engines.vllm.encoder import known_encoder
from moesize.engines.vllm.runtime import capture_count
from moesize.model.spec import Role
from moesize.units import GIB, ceil_div
from validation.rows import VLLM_FILES, Row, card_of, evaluation, load_rows, model_of, question

#: First versions of the eras: V0, V1, NCCL before the snapshot, the sort-free sampler.
ERAS = ("0.17", "0.11", "0.8", "0")
#: What a group of one row is given on either side, GiB.
#: How far above the highest model of a group another may lie.
_FEW_FACTOR = 1.2
_LONE_FACTOR = 1.5
_LONE_SPREAD = 0.4
_MARGIN = 0.05
_TARGET = Path(calibrated.__file__).with_name("calibrated.json")
_CAMPAIGN = "https://github.com/llm-d-incubation/llm-d-planner/pull/205"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one row took beyond the derived terms, GiB; None where the row does not print it apart."""

    row: Row
    group: tuple[str, str, str]
    activation: float | None
    non_torch: float | None
    beside: float | None


def era_of(version: str) -> str:
    """The era a version belongs to."""
    return next(era for era in ERAS if version_key(era) <= version_key(version))


def samples(rows: Iterable[Row]) -> list[Sample]:
    """Of every row that says enough and is not weak."""
    found = []
    for row in rows:
        usable = row.complete and not row.weak and model_of(row.asked["model"])
        if usable and row.observed.get("kv_gib", 0) > 0 and "pool" not in row.asked.get("not_scored", {}):
            if era_of(row.version or "") != ERAS[0] and _sees(row) and not _encoder_known(row):
                continue  # towers of which only bounds are known have an entry of their own
            found.append(sample(row))
    return found


def _sees(row: Row) -> bool:
    spec = None if row.asked.get("language_model_only") else model_of(row.asked["model"])
    return spec is not None and any(t.role is Role.VISION and t.loaded for t in spec.tensors)


def _encoder_known(row: Row) -> bool:
    spec = model_of(row.asked["model"])
    return spec is not None and known_encoder(spec, rules_for(row.version))


def sample(row: Row) -> Sample:
    """What a row took beyond weights, pool, printed graphs and the derived activations."""
    plan = evaluation(row).plan
    rules = rules_for(row.version)
    card = card_of(row)
    layout_kind = "tensor" if row.asked.get("tp", 1) > 1 else "pipeline" if row.asked.get("pp", 1) > 1 else "alone"
    derived = derived_activation_gib(row)
    seen = row.observed
    graphs = 0.0
    if rules.graphs_in_budget and not row.asked.get("enforce_eager"):
        predicted = sum(t.n_bytes for t in plan.terms if t.term == "CUDA graphs" and t.in_budget) / GIB
        graphs = seen.get("graph_estimate_gib", predicted)
    beside = None
    if layout_kind != "pipeline":  # the printed pool is that of the first stage, the plan that of the tightest
        budget = (plan.gpu_memory_utilization or 0.0) * card.memory_bytes / GIB
        weights = sum(t.n_bytes for t in plan.terms if t.category == "weights") / GIB
        beside = budget - seen["kv_gib"] - seen.get("weights_gib", weights) - derived - graphs
    activation = seen["activation_gib"] - derived if "activation_gib" in seen and layout_kind != "pipeline" else None
    group = (era_of(row.version or ""), calibrated.card_class(card), layout_kind)
    return Sample(row, group, activation, seen.get("non_torch_gib"), beside)


def derived_activation_gib(row: Row) -> float:
    """The activation terms of a row without their calibrated remainder."""
    result = evaluation(row)
    plan = result.plan
    spent = sum(t.n_bytes for t in plan.terms if t.category == "activation" and t.in_budget)
    extra = _beyond(row).activation.n_bytes
    return (spent - extra) / GIB


def _beyond(row: Row) -> calibrated.Beyond:
    asked = question(row)
    return calibrated.beyond(rules_for(row.version).key, asked.gpu, asked.layout)


def fit(found: Iterable[Sample]) -> dict[tuple[str, str, str], dict[str, dict[str, float]]]:
    """Per group: remainder of the activations, and memory outside torch; value, low, high in GiB.

    Rows whose excess has a known cause of its own (`not_fitted`) are scored like any other and shape no figure.
    """
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    for one in found:
        if "not_fitted" not in one.row.asked:
            groups.setdefault(one.group, []).append(one)
    return {group: _fit_group(members) for group, members in sorted(groups.items(), key=_order)}


def _order(item: tuple[tuple[str, str, str], list[Sample]]) -> tuple[int, str, str]:
    (era, card, layout), _ = item
    return ERAS.index(era), card, layout


def fit_vision(rows: Iterable[Row]) -> list[dict[str, object]]:
    """What vision models of the older eras took beyond the terms of text: bounds for towers no rule is known of."""
    bounds: dict[str, list[float]] = {}
    for row in rows:
        seen = row.observed
        if not row.complete or row.weak or not _sees(row) or "kv_gib" not in seen or seen["kv_gib"] <= 0:
            continue
        if "not_fitted" in row.asked:
            continue
        era = era_of(row.version or "")
        if era == ERAS[0] or "weights_gib" not in seen:
            continue
        one = sample(row)
        if one.beside is not None:
            blind = replace(row, asked={**row.asked, "language_model_only": True})
            encoder = derived_activation_gib(row) - derived_activation_gib(blind)
            bounds.setdefault(era, []).append(one.beside + encoder - _beyond(row).non_torch.n_bytes / GIB)
    return [
        {
            "since": era,
            "low": round(min(0.0, min(found) - _MARGIN), 2),
            "high": round(max(found) + _MARGIN, 2),
            "rows": len(found),
        }
        for era, found in bounds.items()
    ]


def _fit_group(members: list[Sample]) -> dict[str, dict[str, float]]:
    remainders = [m.activation for m in members if m.activation is not None]
    activation = _figure(remainders) if remainders else {"value": 0.0, "low": 0.0, "high": 0.0}
    outside = [
        m.non_torch if m.non_torch is not None else m.beside - activation["value"]
        for m in members
        if m.non_torch is not None or m.beside is not None
    ]
    return {"activation_gib": activation, "non_torch_gib": _figure(outside)}


def _figure(values: list[float]) -> dict[str, float]:
    """Median and range; memory taken is not negative, whatever a derived term overestimated."""
    spread = _MARGIN if len(values) > 1 else _LONE_SPREAD
    middle, low, high = median(values), min(values) - spread, max(values) + spread
    return {name: round(max(0.0, x), 3) for name, x in (("value", middle), ("low", low), ("high", high))}


def fit_graphs(rows: Iterable[Row]) -> list[dict[str, object]]:
    """CUDA graphs in MiB per layer, per kind of card and model, scaled to 51 captured sizes; median over models.

    Graphs grow with the layers they replay: on H100 dense models of 28 to 80 layers take 18 to 26 MiB each, alone or
    with tensor parallelism. Models that pick tokens by an indexer capture far more and are a kind of their own.
    """
    groups: dict[tuple[str, str], dict[str, list[tuple[float, Row]]]] = {}
    for row in rows:
        seen = row.observed
        printed = seen.get("graph_estimate_gib", seen.get("graphs_gib"))
        spec = model_of(row.asked["model"])
        if printed is None or printed <= 0 or not row.complete or spec is None:
            continue
        asked = question(row)
        seqs = evaluation(row).plan.max_num_seqs or 256
        sizes = capture_count(asked.options, asked.gpu, rules_for(row.version), seqs)
        layers = ceil_div(spec.num_layers, row.asked.get("pp", 1))
        key = (calibrated.graph_card(card_of(row)), calibrated.graph_kind(spec))
        per_layer = printed * 1024 / calibrated.size_share(sizes / 51) / layers
        groups.setdefault(key, {}).setdefault(spec.name, []).append((per_layer, row))
    return [_graph_entry(card, kind, models) for (card, kind), models in sorted(groups.items())]


def _graph_entry(card: str, kind: str, models: dict[str, list[tuple[float, Row]]]) -> dict[str, object]:
    middles = [median(value for value, _ in members) for members in models.values()]
    first = next(iter(models.values()))[0][1]
    return {
        "gpu": card,
        "model": kind,
        "sizes": 51,
        "mib_per_layer": {
            "value": round(median(middles), 1),
            "low": round(min(middles) / 2, 1),
            "high": round(_upper(middles) * (_LONE_FACTOR if len(models) == 1 else _FEW_FACTOR), 1),
        },
        "rows": sum(len(members) for members in models.values()),
        "models": len(models),
        "source": first.source,
    }


def _upper(values: list[float]) -> float:
    """The largest, or of ten and more the 95th percentile."""
    ordered = sorted(values)
    return ordered[-1] if len(ordered) < 10 else ordered[int(0.95 * (len(ordered) - 1))]


def document() -> str:
    """The JSON text of `calibrated.json`."""
    rows = load_rows(*VLLM_FILES)
    found = samples(rows)
    groups = []
    for (era, gpu, layout), figures in fit(found).items():
        members = [m for m in found if m.group == (era, gpu, layout) and "not_fitted" not in m.row.asked]
        source = next((m.row.source for m in members if m.row.source == _CAMPAIGN), members[0].row.source)
        models = len({m.row.asked["model"] for m in members})
        newest = max(version_key(m.row.version or "0")[:2] for m in members)
        counts = {"rows": len(members), "models": models, "newest": ".".join(map(str, newest))}
        group = {"since": era, "gpu": gpu, "layout": layout, **counts}
        groups.append({**group, **figures, "source": source})
    whole = {
        "written_by": "python -m validation.calibrate",
        "what": "GiB beyond the derived terms per group: median and range over validation/data/vllm_*.yaml; a lone row"
        f" is given {_LONE_SPREAD} GiB on either side",
        "beyond": groups,
        "vision": fit_vision(rows),
        "graphs": fit_graphs(rows),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    _TARGET.write_text(document(), encoding="utf-8")
    print(f"wrote {_TARGET}")
