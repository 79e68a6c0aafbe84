"""The model a checkpoint carries for its own speculation: its prediction (MTP) layers as a spec of their own."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from moesize.errors import InputError
from moesize.model.spec import Cache, CacheKind, ModelSpec, Role, Split, Tensor, unloaded_role

#: What a prediction layer shares with the model it belongs to, whether or not the checkpoint stores it twice.
_SHARED = (Role.EMBEDDING, Role.POSITION_EMBEDDING, Role.LM_HEAD)
_GROWING = (CacheKind.FULL, CacheKind.SLIDING, CacheKind.LATENT, CacheKind.INDEXER)


def prediction_layers(spec: ModelSpec) -> tuple[Tensor, ...]:
    """The tensors a checkpoint stores for its prediction layers and engines leave out unless they speculate."""
    if unloaded_role(spec.tensors) is not Role.MTP:
        return ()
    return tuple(t for t in spec.tensors if not t.loaded)


@lru_cache(maxsize=64)
def stored_draft(spec: ModelSpec) -> ModelSpec:
    """The prediction layers as a model: every tensor loaded, with what their attention keeps.

    A prediction layer attends like one of the model's own kinds of layers: the one whose keys have as many rows and,
    where two have, whose heads do.

    Raises:
        InputError: a model without prediction layers, or with attention like none of its other layers.
    """
    stored = prediction_layers(spec)
    if not stored:
        raise InputError(
            f"{spec.name} has no prediction (MTP) layers to speculate with; name a draft model, or use ngram"
        )
    layers = tuple(sorted({i for t in stored for i in t.layers or ()}))
    return replace(
        spec,
        name=f"{spec.name} (MTP)",
        num_layers=len(layers),
        tensors=tuple(replace(t, loaded=True) for t in stored),
        caches=tuple(_caches(spec, stored)),
        stored_bytes=None,
    )


def without_shared(spec: ModelSpec) -> ModelSpec:
    """A draft without the embedding and head it takes from the model it drafts for."""
    return replace(spec, tensors=tuple(t for t in spec.tensors if t.role not in _SHARED))


def _caches(spec: ModelSpec, stored: tuple[Tensor, ...]) -> Iterable[Cache]:
    attending = _layers_of(stored, Role.ATTENTION)
    if not attending:
        return
    keys = _key_rows(stored)
    alike = [c for c in spec.caches if c.kind in _GROWING and _rows(c) in keys]
    windows = _windows(spec, stored)
    own = next((c for c in alike if c.window_tokens in windows), alike[0] if alike else None)
    if own is None:
        raise InputError(f"{spec.name}: what its prediction (MTP) layers keep is not known, so they cannot be sized")
    yield replace(own, layers=attending)
    indexed = _layers_of(stored, Role.INDEXER)
    indexer = next((c for c in spec.caches if c.kind is CacheKind.INDEXER), None)
    if indexed and indexer:
        yield replace(indexer, layers=indexed)


def _layers_of(tensors: Iterable[Tensor], role: Role) -> tuple[int, ...]:
    return tuple(sorted({i for t in tensors if t.role is role for i in t.layers or ()}))


def _rows(cache: Cache) -> int:
    """Rows of the projection that makes its keys; a latent's makes values from the same rows."""
    return cache.num_kv_heads * cache.key_dim


def _windows(spec: ModelSpec, stored: Iterable[Tensor]) -> set[int | None]:
    """What layers see whose output projection is as wide as the stored ones'."""
    wide = {t.in_features for t in stored if t.role is Role.ATTENTION and t.split is Split.ROW}
    return {a.window_tokens for a in spec.attentions if a.num_heads * a.v_head_dim in wide}


def _key_rows(tensors: Iterable[Tensor]) -> set[int]:
    """Rows of every key projection; of a fused one, those of one run of replicable heads."""
    found = set()
    for tensor in tensors:
        if tensor.role is not Role.ATTENTION or not tensor.name.endswith(".weight"):
            continue
        module = tensor.name.rsplit(".", 2)[-2]
        if module in ("k_proj", "kv_a_proj_with_mqa", "wkv"):
            found.add(tensor.out_features)
        elif tensor.segments and module in ("qkv_proj", "query_key_value", "qkv"):
            found |= {s.size for s in tensor.segments if s.replicable}
    return found
