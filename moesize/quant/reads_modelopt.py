"""Reads what NVIDIA ModelOpt writes: `quantization_config` of method modelopt, or `hf_quant_config.json`'s `quantization`.

Schema: https://github.com/NVIDIA/TensorRT-Model-Optimizer (`modelopt/torch/export`); ModelOpt's own default excludes heads
and routers, also where the list does not repeat them.
"""

from collections.abc import Callable

from moesize.errors import InputError, UnknownNameError
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Tensor
from moesize.quant.checkpoint import is_linear_module, scheme_of
from moesize.quant.floats import Fp8Block, Fp8Channel, Fp8Tensor, MxFp4, MxFp8, NvFp4
from moesize.quant.formats import WeightFormat
from moesize.quant.integers import Awq, Int8
from moesize.quant.matching import ModuleSet, assign
from moesize.quant.scheme import Part, QuantScheme

_MIXED = "MIXED_PRECISION"
_ALGOS: dict[str, tuple[str, Callable[[int, str], WeightFormat]]] = {
    "FP8": ("fp8-static", lambda _g, _d: Fp8Tensor(static_inputs=True)),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8-channel", lambda _g, _d: Fp8Channel()),
    "FP8_PB_WO": ("fp8-block", lambda _g, _d: Fp8Block(scale_suffix=".weight_scale")),
    "FP8_PB_REAL": ("fp8-block", lambda _g, _d: Fp8Block(scale_suffix=".weight_scale")),
    "NVFP4": ("nvfp4", lambda _g, _d: NvFp4(modelopt=True)),
    "NVFP4_AWQ": ("nvfp4", lambda _g, _d: NvFp4(modelopt=True)),
    "W4A8_NVFP4_FP8": ("nvfp4", lambda _g, _d: NvFp4(modelopt=True)),
    "W4A16_NVFP4": ("nvfp4a16", lambda _g, _d: NvFp4(modelopt=True, static_inputs=False)),
    "MXFP8": ("mxfp8", lambda _g, _d: MxFp8()),
    "MXFP4": ("mxfp4", lambda _g, _d: MxFp4(weight_name=".weight")),
    "W4A8_MXFP4_FP8": ("mxfp4", lambda _g, _d: MxFp4(weight_name=".weight")),
    "W4A16_AWQ": ("awq-4bit", lambda group, _d: Awq(4, group)),
    "W4A8_AWQ": ("awq-4bit", lambda group, _d: Awq(4, group)),
    "INT4_AWQ": ("awq-4bit", lambda group, _d: Awq(4, group)),
    "W8A8_SQ_PER_CHANNEL": ("int8", lambda _g, _d: Int8()),
    "INT8_SQ": ("int8", lambda _g, _d: Int8()),
}  # fmt: skip


def read(method: str, config: Fields, spec: ModelSpec) -> QuantScheme:
    """The scheme of such a configuration, in either of its two shapes."""
    inner = config.maybe_sub("quantization") or config
    if inner.has("quantized_layers") or inner.text("quant_algo", default="") == _MIXED:
        return read_mixed(inner, spec, "", method, None)
    name, fmt = _format(inner, inner.text("quant_algo"), spec)
    return scheme_of(name, method, spec, _rule(lambda _module: fmt, _left(inner)), fmt, kv_format=_kv_format(inner))


def read_mixed(
    config: Fields, spec: ModelSpec, base_name: str, method: str, base: WeightFormat | None
) -> QuantScheme:
    """A scheme with an algorithm per module, `quantized_layers`; what it does not list is `base`."""
    layers = config.sub("quantized_layers")
    formats: dict[tuple[str, int], tuple[str, WeightFormat]] = {}
    chosen: dict[str, WeightFormat] = {}
    for module in layers.values:
        one = layers.sub(module)
        key = (one.text("quant_algo"), one.count("group_size", default=0, minimum=0))
        if key not in formats:
            formats[key] = _format(one, key[0], spec)
        chosen[module] = formats[key][1]
    left = _left(config) if base is None else ModuleSet(())

    def choose(module: str) -> WeightFormat | None:
        at = len(module)
        while at > 0:
            fmt = chosen.get(module[:at])
            if fmt is not None:
                return fmt
            at = module.rfind(".", 0, at)
        return base

    names = list(dict.fromkeys([name for name, _ in formats.values()] + ([base_name] if base_name else [])))
    main = next(iter(formats.values()), (base_name, base))[1]
    name = names[0] if len(names) == 1 else "mixed-" + "+".join(names)
    return scheme_of(name, method, spec, _rule(choose, left), main, kv_format=_kv_format(config))


def _rule(
    choose: Callable[[str], WeightFormat | None], left: ModuleSet
) -> Callable[[Tensor], tuple[Part, ...]]:
    def pick(module: str) -> WeightFormat | None:
        return None if module in left else choose(module)

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        return assign(tensor, pick, layers_differ=True) if is_linear_module(tensor) else ((tensor, None),)

    return rule


def _left(config: Fields) -> ModuleSet:
    return ModuleSet(config.texts("exclude_modules", "ignore", default=()))


def _format(config: Fields, algo: str, spec: ModelSpec) -> tuple[str, WeightFormat]:
    known = _ALGOS.get(algo.upper())
    if known is None:
        raise UnknownNameError(f"quant_algo in {config.where}:", algo, _ALGOS)
    group = config.count("group_size", default=16, minimum=0)
    if "NVFP4" in algo.upper() and group not in (0, 16):
        raise InputError(f"{config.where}: nvfp4 has groups of 16, not {group}")
    return known[0], known[1](group or 128, spec.dtype)


def _kv_format(config: Fields) -> str | None:
    algo = config.values.get("kv_cache_quant_algo") or config.values.get("kv_cache_scheme")
    if algo is None:
        return None
    if isinstance(algo, str):
        return {"FP8": "fp8", "NVFP4": "nvfp4", "INT8": "int8"}.get(algo.upper())
    scheme = config.sub("kv_cache_scheme")
    return "nvfp4" if scheme.count("num_bits", default=8) == 4 else "fp8"
