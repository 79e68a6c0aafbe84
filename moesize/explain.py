"""What a model is made of: where its parameters are, what a token uses, what it caches, and dense models beside it."""

from dataclasses import dataclass, replace
from typing import Any, Final

from moesize.compute.experts import (
    expected_distinct_experts,
    expected_distinct_experts_skewed,
    zipf_popularity,
)
from moesize.memory.kv_cache import bytes_per_token, layer_token_bytes, state_bytes_per_sequence
from moesize.model import catalogue
from moesize.model.architectures import DRAFT_HEADS
from moesize.model.spec import Cache, CacheKind, ModelSpec, Tensor, unloaded_role
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.kv import kv_format
from moesize.results import Experts, Params

SCHEMA: Final = "moesize.explain/1"
BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SHOWN_DENSE = 2


@dataclass(slots=True, eq=False, repr=False)
class TensorGroup:
    """Tensors of one role in one range of layers."""

    role: str
    layers: str
    parameters: int
    active: int
    tensors: list[str]


@dataclass(slots=True, eq=False, repr=False)
class CacheGroup:
    """What one kind of layer keeps: bytes per token of all its layers, or per sequence for states."""

    kind: str
    layers: int
    shape: str
    bytes_per_token: int
    bytes_per_sequence: int
    window_tokens: int | None


@dataclass(slots=True, eq=False, repr=False)
class Touched:
    """Experts of one layer a decoding batch touches, on average: balanced routing, and Zipf-skewed popularity."""

    batch: int
    balanced: float
    skewed: float


@dataclass(slots=True, eq=False, repr=False)
class DenseModel:
    """A dense model of the catalogue, close in the figure it is listed for."""

    name: str
    parameters: int


@dataclass(slots=True, eq=False, repr=False)
class Explanation:
    """The whole picture (schema `moesize.explain/1`)."""

    schema: str
    name: str
    source: str
    architecture: str
    layers: int
    moe_layers: int
    context_length: int | None
    stored_as: str
    params: Params
    stored_not_loaded: int
    experts: Experts
    groups: list[TensorGroup]
    caches: list[CacheGroup]
    kv_bytes_per_token: int
    kv_bytes_per_token_in_window: int
    state_bytes_per_sequence: int
    experts_touched: list[Touched]
    dense_of_equal_memory: list[DenseModel]
    dense_of_equal_compute: list[DenseModel]
    notes: list[str]


def explain(spec: ModelSpec) -> Explanation:
    """What `spec` is made of; cache bytes at the format the checkpoint asks for, or 16 bits."""
    scheme = stored_scheme(spec)
    kv = kv_format("auto", dtype=spec.dtype, checkpoint=scheme.kv_format)
    params, experts = spec.params, spec.experts
    is_moe = experts.routed > 0
    return Explanation(
        schema=SCHEMA,
        name=spec.name,
        source=spec.source,
        architecture=spec.architecture,
        layers=spec.num_layers,
        moe_layers=len(spec.moe_layers),
        context_length=spec.context_length,
        stored_as=scheme.name,
        params=Params(
            params.total,
            params.active,
            params.active_excluding_input_embedding,
            params.active_excluding_embeddings,
            dict(params.by_role),
        ),
        stored_not_loaded=params.stored_not_loaded,
        experts=Experts(experts.routed, experts.shared, experts.per_token),
        groups=_groups(spec),
        caches=[_cache_group(spec, cache, round(layer_token_bytes(cache, kv))) for cache in spec.caches],
        kv_bytes_per_token=bytes_per_token(spec, kv),
        kv_bytes_per_token_in_window=bytes_per_token(spec, kv, in_window=True),
        state_bytes_per_sequence=state_bytes_per_sequence(spec),
        experts_touched=_touched(experts.routed, experts.per_token) if is_moe else [],
        dense_of_equal_memory=_dense_near(params.total) if is_moe else [],
        dense_of_equal_compute=_dense_near(params.active) if is_moe else [],
        notes=list(spec.notes),
    )


def _groups(spec: ModelSpec) -> list[TensorGroup]:
    """Tensors by role and by the layers they stand in, largest first."""
    found: dict[tuple[str, tuple[int, ...] | None], list[Tensor]] = {}
    not_loaded = unloaded_role(spec.tensors)
    for tensor in spec.tensors:
        role = tensor.role if tensor.loaded else not_loaded
        found.setdefault((role.value, tensor.layers), []).append(tensor)
    groups = [
        TensorGroup(
            role=role,
            layers=_range(layers),
            parameters=sum(t.parameters for t in tensors),
            active=sum(t.active_parameters for t in tensors if t.loaded),
            tensors=[t.name for t in tensors],
        )
        for (role, layers), tensors in found.items()
    ]
    return sorted((g for g in groups if g.parameters), key=lambda g: -g.parameters)


def _range(layers: tuple[int, ...] | None) -> str:
    """`0–31`, `3–60`, or `every 4th of 3–59` of a tuple of layers; empty outside the layers."""
    if not layers:
        return ""
    first, last = layers[0], layers[-1]
    if len(layers) == 1:
        return str(first)
    step = layers[1] - first
    if layers == tuple(range(first, last + 1, step)):
        return f"{first}–{last}" if step == 1 else f"every {step}. of {first}–{last}"
    return f"{len(layers)} of {first}–{last}"


def _cache_group(spec: ModelSpec, cache: Cache, token_bytes: int) -> CacheGroup:
    layers = len(cache.layers)
    if cache.kind is CacheKind.STATE:
        shape = ", ".join(f"{s.name} {'×'.join(map(str, s.shape))}" for s in cache.states)
        only = state_bytes_per_sequence(_with_only(spec, cache))
        return CacheGroup(cache.mixer or "state", layers, shape, 0, only, None)
    if cache.value_dim:
        shape = f"{cache.num_kv_heads} heads × ({cache.key_dim} + {cache.value_dim})"
    else:
        shape = f"{cache.num_kv_heads} × {cache.key_dim}"
    if cache.tokens_per_entry > 1:
        shape += f" per {cache.tokens_per_entry} tokens"
    return CacheGroup(cache.kind.value, layers, shape, token_bytes * layers, 0, cache.window_tokens)


def _with_only(spec: ModelSpec, cache: Cache) -> ModelSpec:
    return replace(spec, caches=(cache,))


def _touched(routed: int, per_token: int) -> list[Touched]:
    popularity = zipf_popularity(routed)
    return [
        Touched(
            batch,
            round(expected_distinct_experts(routed, per_token, batch), 2),
            round(expected_distinct_experts_skewed(popularity, per_token, batch), 2),
        )
        for batch in BATCHES
    ]


def _dense_near(parameters: int) -> list[DenseModel]:
    """The dense models of the catalogue whose total is nearest, as a ratio; draft heads answer nobody alone."""
    dense: list[tuple[float, str, dict[str, Any]]] = []
    for name, entry in catalogue.models().items():
        total = entry.get("total")
        if total and not entry["routed"] and not entry["quant"] and entry["family"] not in DRAFT_HEADS:
            dense.append((max(total / parameters, parameters / total), name, entry))
    return [DenseModel(name, entry["total"]) for _, name, entry in sorted(dense, key=lambda d: d[:2])[:_SHOWN_DENSE]]
