"""What a tree's own spec of a model says, beside what the catalogue says of a model of that name or an older spec said.

A locked spec is a file of the change under review: a smaller one makes a server pass.
"""

from moesize.memory.kv_cache import bytes_per_token, state_bytes_per_sequence
from moesize.model.spec import ModelSpec
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.kv import kv_format
from moesize.units import GIB

#: More than padding of vocabularies and a head more or less make; less than another layer count.
TOLERANCE = 0.02
_UNITS = {
    "parameters": (1e9, "billion parameters"),
    "weights": (GIB, "GiB of weights as stored"),
    "cache": (1024, "KiB of cache a token"),
    "states": (1024, "KiB of states a sequence"),
    "context": (1, "tokens of context"),
}


def figures(spec: ModelSpec) -> dict[str, float]:
    """By what they count, the figures that decide what a model takes."""
    if spec.counts:
        return {"parameters": spec.counts.total}
    scheme = stored_scheme(spec)
    return {
        "parameters": spec.params.total,
        "weights": sum(scheme.tensor_bytes(tensor) for tensor in spec.tensors if tensor.loaded),
        "cache": bytes_per_token(spec, kv_format("bf16", dtype="bfloat16"), in_window=True),
        "states": state_bytes_per_sequence(spec),
        "context": spec.context_length or 0,
    }


def differing(own: ModelSpec, other: ModelSpec, names: tuple[str, ...], tolerance: float = TOLERANCE) -> list[str]:
    """Of the figures called so, those in which two models differ: `3.158 instead of 46.7 billion parameters`."""
    mine, theirs = figures(own), figures(other)
    return [
        f"{_number(name, mine[name])} instead of {words(name, theirs[name])}"
        for name in names
        if name in mine and name in theirs and abs(mine[name] - theirs[name]) > tolerance * theirs[name]
    ]


def words(name: str, value: float) -> str:
    """One of `figures` as it is read."""
    return f"{_number(name, value)} {_UNITS[name][1]}"


def _number(name: str, value: float) -> str:
    scale = _UNITS[name][0]
    return f"{value:,.0f}" if scale == 1 else f"{value / scale:.4g}"
