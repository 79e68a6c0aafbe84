"""Sizes of whole checkpoints under a scheme."""

from moesize.model.spec import ModelSpec
from moesize.quant.formats import Plain
from moesize.quant.scheme import QuantScheme

#: Scales of a format of which only totals are known are those of a matrix of this size.
_TYPICAL_SIDE = 8192


def checkpoint_bytes(spec: ModelSpec, scheme: QuantScheme) -> int:
    """Bytes of all tensors a checkpoint stores, draft layers included, tied ones once; without file headers.

    Of a model of which only totals are published: the total at the format's bits, scales included.
    """
    if spec.counts:
        return round(spec.counts.total * typical_bits(scheme) / 8)
    if spec.stored_bytes is not None and scheme.from_checkpoint:
        return spec.stored_bytes
    return sum(scheme.tensor_bytes(tensor) for tensor in spec.tensors)


def bits_per_weight(spec: ModelSpec, scheme: QuantScheme) -> float:
    """Bits a loaded parameter takes on average, scales and what is left alone included."""
    if spec.counts:
        return typical_bits(scheme)
    loaded = [tensor for tensor in spec.tensors if tensor.loaded]
    parameters = sum(tensor.parameters for tensor in loaded)
    return 8 * sum(scheme.tensor_bytes(tensor) for tensor in loaded) / parameters if parameters else 0.0


def typical_bits(scheme: QuantScheme) -> float:
    """Bits per weight of a large matrix in the scheme's main format, scales included."""
    fmt = scheme.format or Plain(scheme.dtype)
    return 8 * fmt.nbytes(_TYPICAL_SIDE, _TYPICAL_SIDE) / _TYPICAL_SIDE**2
