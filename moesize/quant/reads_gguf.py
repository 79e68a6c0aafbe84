"""Reads a spec that came from a GGUF file: every tensor already carries the type the file stores it in."""

from dataclasses import replace
from math import prod

from moesize.errors import printable
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Tensor
from moesize.quant.checkpoint import scheme_of
from moesize.quant.gguf_types import Ggml, is_blocked
from moesize.quant.scheme import Part, QuantScheme


def read(method: str, config: Fields, spec: ModelSpec) -> QuantScheme:
    """The scheme of the file; its name is the mix its header states."""
    sizes: dict[str, int] = {}
    for tensor in spec.tensors:
        if tensor.dtype and is_blocked(tensor.dtype):
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + prod(tensor.shape) * tensor.copies
    main = max(sizes, key=lambda dtype: sizes[dtype], default=None)
    name = printable(config.text("file_type", default="mixed"), 40)
    return scheme_of(name, method, spec, _by_dtype, Ggml(main) if main else None)


def _by_dtype(tensor: Tensor) -> tuple[Part, ...]:
    if not tensor.dtype or not is_blocked(tensor.dtype):
        return ((tensor, None),)
    rows = replace(tensor, shape=(prod(tensor.shape[:-1]), tensor.shape[-1]))
    return ((rows, Ggml(tensor.dtype)),)
