"""Reads `quantization_config` of AMD Quark: one setting for all layers, others by name, and a list to exclude.

Schema: https://quark.docs.amd.com and transformers `quantizers/quantizer_quark.py`.
"""

from collections.abc import Mapping
from typing import Any

from moesize.errors import InputError, printable
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Tensor
from moesize.quant.checkpoint import is_linear_module, scheme_of
from moesize.quant.floats import Fp8Channel, Fp8Tensor, MxFp4, MxFp8
from moesize.quant.formats import WeightFormat
from moesize.quant.integers import Int8, PackedInt
from moesize.quant.matching import ModuleSet, assign
from moesize.quant.scheme import Part, QuantScheme


def read(method: str, config: Fields, spec: ModelSpec) -> QuantScheme:
    """The scheme of such a configuration."""
    fmt, label = _format(config.sub("global_quant_config"), spec.dtype)
    left = ModuleSet(config.texts("exclude", default=()))
    by_name = config.maybe_sub("layer_quant_config")
    named = [(ModuleSet([k]), _format(by_name.sub(k), spec.dtype)[0]) for k in by_name.values] if by_name else []
    differ = left.tells_layers_apart or any(names.tells_layers_apart for names, _ in named)

    def choose(module: str) -> WeightFormat | None:
        if module in left:
            return None
        return next((one for names, one in named if module in names), fmt)

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        return assign(tensor, choose, layers_differ=differ) if is_linear_module(tensor) else ((tensor, None),)

    return scheme_of(f"quark-{label}", method, spec, rule, fmt, kv_format=_kv_format(config))


def _format(settings: Fields, dtype: str) -> tuple[WeightFormat, str]:
    weight: Any = settings.values.get("weight")
    if isinstance(weight, list | tuple) and len(weight) == 1:
        weight = weight[0]
    if not isinstance(weight, Mapping):
        raise InputError(f"{settings.where}: weight is no single setting; layered ones are not supported")
    one = Fields(weight, f"{settings.where}: weight")
    kind, scheme = one.text("dtype"), one.text("qscheme", default="per_tensor")
    inputs = settings.values.get("input_tensors")
    static = isinstance(inputs, Mapping) and inputs.get("is_dynamic") is False
    if kind in ("fp4", "mx"):
        return MxFp4(weight_name=".weight"), "mxfp4"
    if kind.startswith("fp8"):
        if scheme == "per_group":
            return MxFp8(), "mxfp8"
        return (Fp8Channel(), "fp8-channel") if scheme == "per_channel" else (Fp8Tensor(static), "fp8")
    if kind == "int8":
        return Int8("float32", per_tensor=scheme == "per_tensor"), "int8"
    if kind in ("int4", "uint4"):
        group = one.count("group_size") if scheme == "per_group" else -1
        return PackedInt(4, group, dtype, symmetric=kind == "int4"), "int4"
    raise InputError(f"{one.where}: dtype {printable(kind)!r} is not known; known are fp4, fp8_e4m3, int8, int4, uint4")


def _kv_format(config: Fields) -> str | None:
    kv = config.values.get("kv_cache_quant_config")
    return "fp8" if isinstance(kv, Mapping) and "fp8" in str(kv)[:2000] else None
