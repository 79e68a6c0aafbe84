"""What a checkpoint stores, laid beside what its configuration says: the stored arrays win, differences are told."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod
from typing import Final, NamedTuple

from moesize.errors import InputError, printable
from moesize.model.safetensors import FLOAT_DTYPES, Stored
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor

#: Arrays old libraries saved beside the weights and no engine loads: rotary frequencies, causal masks.
_LEFTOVERS: Final = re.compile(r"(rotary_emb\.inv_freq|\.(attn|attention)\.(masked_)?bias|position_ids)$")
#: What wraps a language model inside a larger one; classes differ in the order, never in what follows.
_WRAPPERS: Final = ("model.", "language_model.", "transformer.", "text_model.")
#: Endings of what quantisers store in place of, or beside, a matrix `name.weight`.
_QUANTISED: Final = re.compile(
    r"(\.(qweight|qzeros|scales|g_idx|SCB|weight_format|codes|codebooks|trellis|suh|svh|q_weight|q_scale|q_groups|q_perm|"
    r"q_invperm|q_scale_max|q_group_map|weight_(packed|scale|scale_2|scale_inv|shape|zero_point|g_idx|global_scale)|"
    r"(input|output|k|v|q|prob)_(scale|zero_point|global_scale|scale_inv)|(weight\.)?(nested_)?(absmax|quant_map)|"
    r"weight\.quant_state\.bitsandbytes__\w+)|_(blocks|scales|scale|scale_inv|packed))$"
)
#: Dtypes only quantised weights, or their scales and tables, are stored in.
PACKED: Final = frozenset({"U8", "I8", "I32", "U32", "I16", "U16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4"})
#: Below this share of elements found by name, checkpoint and family call their arrays differently altogether.
_SAME_NAMES: Final = 0.5
_SHOWN: Final = 3
_NUMBER: Final = re.compile(r"(?<=\.)\d+(?=\.)")


class Place(NamedTuple):
    """Where in a spec one stored array belongs: the index of its tensor, and its layer."""

    tensor: int
    layer: int | None


def with_stored(spec: ModelSpec, stored: Iterable[Stored], where: str) -> ModelSpec:
    """`spec` with its exact `stored_bytes`; where arrays differ from the configuration's, the stored ones.

    Packed weights are never counted as parameters: of a quantised matrix only the presence is compared.

    Raises:
        InputError: two files store the same array.
    """
    arrays: dict[str, Stored] = {}
    for one in stored:
        if arrays.setdefault(_bare(one.name), one) is not one:
            raise InputError(f"{where}: {printable(one.name)} is stored twice")
    spec = replace(spec, stored_bytes=sum(one.n_bytes for one in arrays.values()))
    expected = dict(_expected(spec))
    quantised = spec.quantization_config is not None or any(_QUANTISED.search(name) for name in arrays)
    found = _found(expected, arrays)
    elements = sum(prod(shape) for name, (shape, _) in expected.items() if name in found)
    if elements < _SAME_NAMES * sum(prod(shape) for shape, _ in expected.values()):
        return _by_totals(spec, arrays, quantised=quantised)
    other_shape = {
        name: arrays[name].shape
        for name in found
        if name in arrays and arrays[name].shape != expected[name][0] and not (quantised and _packed(name, arrays))
    }
    missing = [name for name in expected if name not in found]
    known = found | _tied(spec)
    more = [name for name in arrays if not _LEFTOVERS.search(name) and not _belongs(name, known)]
    return _reconciled(spec, expected, arrays, other_shape, missing, more)


def _expected(spec: ModelSpec) -> Iterator[tuple[str, tuple[tuple[int, ...], Place]]]:
    """Every array of the spec under its bare name, with its shape and place."""
    for index, tensor in enumerate(spec.tensors):
        if tensor.tied_to:
            continue
        shape = (tensor.experts, *tensor.shape) if tensor.stacked else tensor.shape
        for layer in tensor.layers if tensor.layers is not None else (None,):
            name = _bare(tensor.name.replace("{layer}", str(layer)))
            for expert in range(tensor.experts) if "{expert}" in name else (0,):
                yield name.replace("{expert}", str(expert)), (shape, Place(index, layer))


def _bare(name: str) -> str:
    """A name without the wrappers it begins with."""
    while True:
        for wrapper in _WRAPPERS:
            if name.startswith(wrapper):
                name = name[len(wrapper) :]
                break
        else:
            return name


def _found(expected: Iterable[str], arrays: dict[str, Stored]) -> set[str]:
    """The expected arrays that are stored, plainly or as what a quantiser makes of them."""
    stems = {name[: ending.start()] for name in arrays if (ending := _QUANTISED.search(name))}
    return {name for name in expected if name in arrays or name in stems or name.removesuffix(".weight") in stems}


def _packed(name: str, arrays: dict[str, Stored]) -> bool:
    """Whether `name` holds packed values, or values with scales beside them."""
    stem = name.removesuffix(".weight")
    beside = (".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".weight.absmax", ".SCB", "_scale", "_scales")
    return arrays[name].dtype not in FLOAT_DTYPES or any(stem + ending in arrays for ending in beside)


def _tied(spec: ModelSpec) -> set[str]:
    """Names of tensors that share another's storage; some checkpoints store them all the same."""
    return {_bare(tensor.name) for tensor in spec.tensors if tensor.tied_to}


def _belongs(name: str, known: set[str]) -> bool:
    """Whether a stored array is one of `known`, or a quantiser's companion of one."""
    if name in known:
        return True
    ending = _QUANTISED.search(name)
    stem = name[: ending.start()] if ending else ""
    # A KV-cache scale stands beside the attention's matrices: its module has no weight of its own.
    return bool(ending) and (stem in known or f"{stem}.weight" in known or name.endswith((".k_scale", ".v_scale")))


def _by_totals(spec: ModelSpec, arrays: dict[str, Stored], *, quantised: bool) -> ModelSpec:
    """What is left to say of a checkpoint whose arrays have names of their own."""
    counted = spec.params.total + spec.params.stored_not_loaded
    elements = sum(prod(one.shape) for name, one in arrays.items() if not _LEFTOVERS.search(name))
    if not quantised and elements == counted:
        return spec
    said = "it is quantised, so only bytes can be compared" if quantised else f"it stores {elements:,} elements"
    note = (
        f"the checkpoint's arrays have other names than {spec.architecture} gives them: shapes are the configuration's "
        f"({counted:,} parameters), bytes the checkpoint's; {said}"
    )
    return replace(spec, notes=(*spec.notes, note))


def _reconciled(
    spec: ModelSpec,
    expected: dict[str, tuple[tuple[int, ...], Place]],
    arrays: dict[str, Stored],
    other_shape: dict[str, tuple[int, ...]],
    missing: list[str],
    more: list[str],
) -> ModelSpec:
    """The spec with the stored arrays in place of those that differ, and notes that say so."""
    if not other_shape and not missing and not more:
        return spec
    gone = Counter(expected[name][1] for name in (*other_shape, *missing))
    tensors = [part for i, tensor in enumerate(spec.tensors) for part in _without(i, tensor, gone)]
    changed = Counter((expected[name][1], shape) for name, shape in other_shape.items())
    tensors += [_reshaped(spec.tensors[place.tensor], place.layer, shape, n) for (place, shape), n in changed.items()]
    alike = Counter((_NUMBER.sub("*", name), arrays[name].shape) for name in more if not _QUANTISED.search(name))
    tensors += [Tensor(name, (n, *shape), Role.OTHER, Kind.PARAMETER) for (name, shape), n in alike.items()]
    said = [
        _listing(len(names), what, names)
        for names, what in (
            ([f"{n} {list(s)}" for n, s in other_shape.items()], "of another shape"),
            (missing, "missing"),
            (more, "more"),
        )
        if names
    ]
    note = f"the checkpoint differs from its configuration, and is what is counted: {'; '.join(said)}"
    return replace(spec, tensors=tuple(tensors), notes=(*spec.notes, note))


def _reshaped(tensor: Tensor, layer: int | None, shape: tuple[int, ...], arrays: int) -> Tensor:
    """`tensor` in one layer as it is stored there; heads no longer known to divide it are forgotten."""
    experts = tensor.experts
    if tensor.stacked:
        experts, shape = (shape[0], shape[1:]) if shape else (0, shape)
    elif experts:
        experts = arrays
    along = shape[: len(tensor.shape)] == tensor.shape
    return replace(
        tensor,
        shape=shape,
        layers=None if layer is None else (layer,),
        experts=experts,
        active_experts=min(tensor.active_experts, experts),
        segments=tensor.segments if along else (),
        split=tensor.split if len(shape) == len(tensor.shape) else Split.REPLICATED,
    )


def _without(index: int, tensor: Tensor, gone: Counter[Place]) -> list[Tensor]:
    """`tensor` less the arrays `gone` counts, layer by layer."""
    lost = {layer: gone[Place(index, layer)] for layer in (tensor.layers or (None,))}
    if not any(lost.values()):
        return [tensor]
    left = [layer for layer, n in lost.items() if not n and layer is not None]
    parts = [tensor.only(tuple(left))] if left else []
    for layer, n in lost.items():
        remaining = tensor.experts - n
        if n and "{expert}" in tensor.name and remaining > 0:
            active = min(tensor.active_experts, remaining)
            one = tensor if layer is None else tensor.only((layer,))
            parts.append(replace(one, experts=remaining, active_experts=active))
    return parts


def _listing(count: int, what: str, names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:_SHOWN])
    return f"{count} {what} ({shown}{', …' if count > _SHOWN else ''})"
