"""What a tensor takes once vLLM has loaded it; quantised ones are priced by `kernels`.

Checked byte by byte against what vLLM 0.33's own classes hold after loading (`validation/data/vllm_weights.csv`).
"""

from math import prod

from moesize.engines.vllm.constants import Kernels
from moesize.model.spec import Tensor
from moesize.quant.formats import Plain, WeightFormat
from moesize.units import DTYPE_BYTES

#: Decays that recurrent layers compute in float32 whatever the checkpoint stores.
_FLOAT32_SUFFIXES = (".A_log",)


def loaded_bytes(part: Tensor, fmt: WeightFormat | None, kernels: Kernels) -> int:
    """Bytes of a rank's part over its layers and experts; 0 when it shares another tensor's storage.

    Raises:
        LayoutError: a shape the kernels do not take.
    """
    if part.tied_to:
        return 0
    if fmt is None or isinstance(fmt, Plain):
        return _plain(part, fmt, kernels) * part.copies
    from moesize.engines.vllm.kernels import kernel_bytes  # noqa: PLC0415  unquantised models need none of it

    return kernel_bytes(part, fmt, kernels) * part.copies


def _plain(part: Tensor, fmt: Plain | None, kernels: Kernels) -> int:
    dtype = part.dtype or (fmt.dtype if fmt else kernels.dtype)
    if part.name.endswith(_FLOAT32_SUFFIXES):
        dtype = "float32"
    return prod(part.shape) * DTYPE_BYTES[dtype]
