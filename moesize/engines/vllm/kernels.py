"""What vLLM's kernels make of a quantised matrix: they repack, drop, merge and pad what a checkpoint stores.

One rule per weight format, on the shape one rank holds. Sources: vllm `model_executor/layers/quantization/*`
(process_weights_after_loading) and `layers/fused_moe`.
"""

from collections.abc import Callable
from math import gcd
from typing import Any

from moesize.engines.vllm.constants import Kernels
from moesize.memory.layout import LayoutError
from moesize.memory.sharding import RankTensor
from moesize.model.spec import Kind, Role, Split, Tensor
from moesize.quant.floats import Fp8Block, Fp8Channel, Fp8Tensor, MxFp4, NvFp4
from moesize.quant.formats import WeightFormat
from moesize.quant.integers import Awq, Gptq, PackedInt
from moesize.quant.scheme import QuantScheme
from moesize.units import DTYPE_BYTES, ceil_div, round_up

#: Projections vLLM fuses into the one before them: they bring no scalars of their own.
_FUSED_INTO_ANOTHER = ("k_proj", "v_proj", "up_proj", "w3", "kv_a_proj_with_mqa")
_MARLIN_MOE_UNIT = 64
_SMALLEST_GROUP = 32


def kernel_bytes(part: Tensor, fmt: WeightFormat, kernels: Kernels) -> int:
    """Bytes of one matrix of a rank's part.

    Raises:
        LayoutError: a shape the kernels do not take.
    """
    rule: Callable[[Tensor, Any, Kernels], int] = _RULES.get(type(fmt), _as_stored)
    return rule(part, fmt, kernels)


def _as_stored(part: Tensor, fmt: WeightFormat, kernels: Kernels) -> int:  # noqa: ARG001
    return fmt.nbytes(part.out_features, part.in_features)


def _fp8_tensor(part: Tensor, fmt: Fp8Tensor, kernels: Kernels) -> int:  # noqa: ARG001
    """Scales of fused projections and of an expert's gate and up are merged into one."""
    weights, scales = part.out_features * part.in_features, 8 if fmt.static_inputs else 4
    return weights + (0 if _follows(part) else scales)


def _fp8_channel(part: Tensor, fmt: Fp8Channel, kernels: Kernels) -> int:  # noqa: ARG001
    """Scales become float32; CUTLASS keeps three int64 strides per expert."""
    strides = 24 if part.role is Role.ROUTED_EXPERT and part.split is Split.ROW else 0
    return part.out_features * (part.in_features + 4) + strides


def _fp8_block(part: Tensor, fmt: Fp8Block, kernels: Kernels) -> int:
    """Tiles that do not divide a rank's experts are cut to their greatest common divisor; dense layers refuse."""
    rows, columns = fmt.block
    out, into = part.out_features, part.in_features
    if part.role is not Role.ROUTED_EXPERT:
        _check_tiles(part, rows, columns, kernels)
        scales = ceil_div(out, rows) * ceil_div(into, columns)
        return out * into + 4 * scales
    width = into if part.split is Split.ROW else out
    unit = rows if part.split is not Split.ROW else columns
    if width % unit:
        if not kernels.rules.moe_refines_tiles:
            raise LayoutError(
                f"vLLM {kernels.rules.version}: the output_size of gate's and up's weight = {width} is not divisible by"
                f" weight quantization block_n = {unit}; lower tp or use expert parallelism (--ep)"
            )
        rows = columns = gcd(width, unit)
    return out * into + 4 * ceil_div(out, rows) * ceil_div(into, columns)


def _check_tiles(part: Tensor, rows: int, columns: int, kernels: Kernels) -> None:
    """The check of fp8 linear layers (vllm `quantization/utils/fp8_utils.py` validate_fp8_block_shape)."""
    if kernels.tp == 1 or part.kind is not Kind.LINEAR or part.role is Role.ATTENTION:
        return
    name = part.name.replace("{layer}", "N")
    if part.split is Split.ROW and part.in_features % columns:
        raise LayoutError(
            f"vLLM refuses {name} at tp {kernels.tp}: Weight input_size_per_partition = {part.in_features} is not"
            f" divisible by weight quantization block_k = {columns}"
        )
    if part.split is Split.COLUMN and part.out_features % rows:
        raise LayoutError(
            f"vLLM refuses {name} at tp {kernels.tp}: Weight output_partition_size = {part.out_features} is not"
            f" divisible by weight quantization block_n = {rows}"
        )


def _gptq(part: Tensor, fmt: Gptq, kernels: Kernels) -> int:
    """The group index is dropped; packed zero points stay, though symmetric ones are never read."""
    out, into, bits = part.out_features, part.in_features, fmt.weight_bits
    group, falls_back = _group(part, fmt.group, kernels)
    zeros = 0 if falls_back else ceil_div(into, group) * out * bits // 8
    return out * into * bits // 8 + zeros + ceil_div(into, group) * out * 2


def _awq(part: Tensor, fmt: Awq, kernels: Kernels) -> int:
    """Hopper's Machete keeps the zero points of linear layers in the model's dtype, Marlin keeps them packed."""
    out, into, bits = part.out_features, part.in_features, fmt.weight_bits
    group, _ = _group(part, fmt.group, kernels)
    points = ceil_div(into, group) * out
    machete = kernels.hopper and part.role is not Role.ROUTED_EXPERT
    return out * into * bits // 8 + points * 2 + (points * 2 if machete else points * bits // 8)


def _packed_int(part: Tensor, fmt: PackedInt, kernels: Kernels) -> int:
    """One `weight_shape` per fused layer; of experts only in the 16-bit dtype."""
    out, into, bits = part.out_features, part.in_features, fmt.weight_bits
    group, _ = _group(part, fmt.group, kernels)
    points = ceil_div(into, group) * out
    weights = out * ceil_div(into, 32 // bits) * 4
    shape = 0 if _follows(part) else 4 if part.role is Role.ROUTED_EXPERT else 16
    return weights + points * DTYPE_BYTES[fmt.scale_dtype] + (0 if fmt.symmetric else points * bits // 8) + shape


def _group(part: Tensor, group: int, kernels: Kernels) -> tuple[int, bool]:
    """The group size a rank ends up with, and whether its experts fall back to kernels without zero points.

    Experts whose width the groups do not divide run with halved ones (vllm `quantization/moe_wna16.py`); dense layers
    refuse.

    Raises:
        LayoutError: groups no kernel takes.
    """
    into = part.in_features
    if group == -1:
        return into, False
    if part.role is Role.ROUTED_EXPERT and part.experts:
        width = into if part.split is Split.ROW else part.out_features
        if width % max(_MARLIN_MOE_UNIT, group) == 0:
            return group, False
        smaller = group
        while width % smaller:
            smaller //= 2
        if smaller < _SMALLEST_GROUP:
            raise LayoutError(
                f"the {width} columns of an expert at tp {kernels.tp} are not made of groups of {group}, nor of its"
                f" halves down to {_SMALLEST_GROUP}; lower tp or use expert parallelism (--ep)"
            )
        return smaller, True
    if part.split is Split.ROW and into % group:
        raise LayoutError(
            f"Weight input_size_per_partition = {into} of {part.name.replace('{layer}', 'N')} is not divisible by"
            f" group_size = {group}; vLLM says: consider reducing tensor_parallel_size"
        )
    return group, False


def _nvfp4(part: Tensor, fmt: NvFp4, kernels: Kernels) -> int:  # noqa: ARG001
    """Four float32 per fused layer; experts keep one per matrix, or four with compressed-tensors."""
    out, into = part.out_features, part.in_features
    scalars = 4 if part.role is Role.ROUTED_EXPERT and fmt.modelopt else 16
    return out * (into // 2 + into // 16) + (0 if _follows(part) else scalars)


def _mxfp4(part: Tensor, fmt: MxFp4, kernels: Kernels) -> int:
    """Experts are padded to what the kernels of the version take; their scales to whole swizzled tiles."""
    out, into = part.out_features, part.in_features
    if part.role is not Role.ROUTED_EXPERT:
        return fmt.nbytes(out, into)
    pads = kernels.rules.entry("mxfp4_experts")
    inner, hidden = pads["intermediate_multiple"], pads["hidden_multiple"]
    if part.split is Split.ROW:
        out, into = round_up(out, hidden), round_up(into, inner)
    else:
        out, into = round_up(out, inner * (2 if "gate_up" in part.name else 1)), round_up(into, hidden)
    scales = round_up(out, pads["scale_rows_multiple"]) * round_up(into // 32, pads["scale_columns_multiple"])
    return out * into // 2 + scales


def expert_bias_bytes(part: Tensor, kernels: Kernels) -> int:
    """A bias of MXFP4 experts: padded with its matrix, and in float32 where the version converts it."""
    pads = kernels.rules.entry("mxfp4_experts")
    multiple = pads["intermediate_multiple"] * 2 if "gate_up" in part.name else pads["hidden_multiple"]
    return round_up(part.shape[-1], multiple) * DTYPE_BYTES[pads["bias_dtype"]] * part.copies


def has_mxfp4_experts(tensors: tuple[RankTensor, ...], scheme: QuantScheme) -> bool:
    """Whether routed experts run through the fused MXFP4 kernels."""
    routed = (t.whole for t in tensors if t.whole.role is Role.ROUTED_EXPERT)
    return any(isinstance(fmt, MxFp4) for whole in routed for _, fmt in scheme.parts(whole))


def expert_scales_bytes(tensors: tuple[RankTensor, ...], scheme: QuantScheme) -> int:
    """FlashInfer's per-tensor FP8 experts keep two products of scales per expert and two scales per layer."""
    fmt = scheme.format
    if not (isinstance(fmt, Fp8Tensor) and fmt.static_inputs):
        return 0
    ends = ("w2.weight", "down_proj.weight", "down_proj")
    parts = (t.part for t in tensors if t.part.role is Role.ROUTED_EXPERT and t.part.name.endswith(ends))
    return sum(part.repeats * 16 for part in parts)


def _follows(part: Tensor) -> bool:
    return part.name.removesuffix(".weight").endswith(_FUSED_INTO_ANOTHER)


_RULES: dict[type, Callable[[Tensor, Any, Kernels], int]] = {
    Fp8Tensor: _fp8_tensor,
    Fp8Channel: _fp8_channel,
    Fp8Block: _fp8_block,
    Gptq: _gptq,
    Awq: _awq,
    PackedInt: _packed_int,
    NvFp4: _nvfp4,
    MxFp4: _mxfp4,
}
