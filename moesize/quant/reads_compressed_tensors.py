"""Reads `quantization_config` of compressed-tensors: groups of targets with their own format, and a list to ignore.

Schema: https://github.com/vllm-project/compressed-tensors (`quantization/quant_config.py`, `quant_args.py`).
"""

from typing import Any, NamedTuple

from moesize.errors import InputError, printable
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Tensor
from moesize.quant.checkpoint import is_linear_module, scheme_of
from moesize.quant.floats import Fp8Block, Fp8Channel, Fp8Tensor, MxFp4, MxFp8, NvFp4
from moesize.quant.formats import WeightFormat
from moesize.quant.integers import Int8, PackedInt
from moesize.quant.matching import ModuleSet, assign
from moesize.quant.scheme import Part, QuantScheme

#: Classes a target can name for a linear layer.
_CLASSES = frozenset({"Linear", "FusedMoE", "LinearBase", "ColumnParallelLinear", "RowParallelLinear"})
#: Recipes ignore towers by names of their own; configurations nested in a text model's do not see them at all.
_TOWERS = frozenset({Role.VISION, Role.AUDIO})
_UNSUPPORTED = ("marlin-24", "sparse-bitmask", "sparse-24-bitmask")


class _Group(NamedTuple):
    by_class: bool
    names: ModuleSet
    fmt: WeightFormat
    label: str


def read(method: str, config: Fields, spec: ModelSpec) -> QuantScheme:
    """The scheme of such a configuration; the first group that targets a module decides."""
    ignored = ModuleSet(config.texts("ignore", default=()))
    overall = config.text("format", default="")
    settings = config.sub("config_groups")
    found = (_group(settings.sub(name), overall, spec) for name in settings.values)
    groups = [group for group in found if group is not None]
    if not groups:
        raise InputError(f"{config.where}: config_groups holds no group with weights")
    differ = ignored.tells_layers_apart or any(g.names.tells_layers_apart for g in groups)

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        if tensor.kind is not Kind.LINEAR or tensor.dtype or tensor.tied_to or tensor.role is Role.EMBEDDING:
            return ((tensor, None),)
        # A class stands for the layers every recipe means by it; heads and routers only when they are named.
        by_class = is_linear_module(tensor) and tensor.role not in _TOWERS

        def choose(module: str) -> WeightFormat | None:
            if module in ignored:
                return None
            return next((g.fmt for g in groups if (g.by_class and by_class) or module in g.names), None)

        return assign(tensor, choose, layers_differ=differ)

    labels = list(dict.fromkeys(g.label for g in groups))
    name = labels[0] if len(labels) == 1 else "mixed-" + "+".join(labels)
    kv_scheme = config.maybe_sub("kv_cache_scheme")
    kv_format = "fp8" if kv_scheme and kv_scheme.count("num_bits", default=8) == 8 else None
    scheme = scheme_of(name, method, spec, rule, groups[0].fmt, kv_format=kv_format)
    used = {fmt for tensor in spec.tensors for _, fmt in scheme.parts(tensor)}
    idle = next((group for group in groups if group.fmt not in used), None)
    if idle:
        raise InputError(f"{config.where}: the group of {idle.label} targets none of the model's matrices")
    return scheme


def _group(group: Fields, overall: str, spec: ModelSpec) -> _Group | None:
    weights = group.maybe_sub("weights")
    if weights is None:
        return None
    packing = group.text("format", default=overall)
    if packing in _UNSUPPORTED:
        raise InputError(f"{group.where}: the sparse format {packing} is not supported")
    targets = group.texts("targets", default=("Linear",))
    fmt, label = _format(weights, group.maybe_sub("input_activations"), packing, spec.dtype)
    return _Group(any(t in _CLASSES for t in targets), ModuleSet(t for t in targets if t not in _CLASSES), fmt, label)


def _format(weights: Fields, inputs: Fields | None, packing: str, dtype: str) -> tuple[WeightFormat, str]:
    bits = weights.count("num_bits", maximum=16)
    kind = weights.text("type", default="int")
    group = weights.values.get("group_size")
    size = weights.count("group_size") if group not in (None, -1, 0) else -1
    strategy = weights.text("strategy", default="group" if size != -1 else "tensor")
    static = inputs is not None and inputs.values.get("dynamic") is False
    if kind == "float":
        return _float_format(weights, bits, size, strategy, packing, dtype, static=static, weight_only=inputs is None)
    if kind != "int":
        raise InputError(f"{weights.where}: type is {printable(kind)!r}, expected int or float")
    if packing == "int-quantized" or (bits == 8 and packing != "pack-quantized" and size == -1):
        return Int8(dtype, per_tensor=strategy == "tensor", group=size), "int8"
    symmetric = weights.flag("symmetric", default=True)
    by_group = weights.values.get("actorder") == "group"
    fmt = PackedInt(bits, size, dtype, symmetric=symmetric, group_index=by_group)
    default = 128
    label = f"w{bits}a16" + ("" if symmetric else "-asym") + ("" if size == default else f"-g{size}")
    return fmt, label


def _float_format(
    weights: Fields, bits: int, size: int, strategy: str, packing: str, dtype: str, *, static: bool, weight_only: bool
) -> tuple[WeightFormat, str]:
    if bits in (4, 6) and (size == 32 or "mxfp" in packing):
        return MxFp4(weight_bits=bits), f"mxfp{bits}"
    if bits == 4 and size in (16, -1):
        return NvFp4(static_inputs=not weight_only), "nvfp4a16" if weight_only else "nvfp4"
    if bits == 8 and strategy == "block":
        return Fp8Block(_block(weights), dtype, ".weight_scale"), "fp8-block"
    if bits == 8 and size == 32:
        return MxFp8(), "mxfp8"
    if bits == 8 and strategy == "channel":
        return Fp8Channel(dtype), "fp8-channel"
    if bits == 8 and size == -1:
        return Fp8Tensor(static_inputs=static, scale_dtype=dtype), "fp8-static" if static else "fp8"
    raise InputError(f"{weights.where}: floats of {bits} bits in groups of {size} are no known format")


def _block(weights: Fields) -> tuple[int, int]:
    value: Any = weights.values.get("block_structure")
    if isinstance(value, str) and value.count("x") == 1:
        value = [int(x) if x.isdigit() else 0 for x in value.split("x")]
    block = Fields({"block_structure": value or [128, 128]}, weights.where).counts("block_structure", minimum=1)
    if len(block) != 2:
        raise InputError(f"{weights.where}: block_structure is {list(block)}, expected rows and columns")
    return block[0], block[1]
