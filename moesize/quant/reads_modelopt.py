"""Reads what NVIDIA ModelOpt writes: `quantization_config`, or `quantization` in `hf_quant_config.json`.

Schema: https://github.com/NVIDIA/TensorRT-Model-Optimizer (`modelopt/torch/export`). By default ModelOpt excludes heads
and routers, also where the list does not repeat them.
"""

from collections.abc import Callable, Iterator, Mapping

from moesize.errors import InputError, UnknownNameError, printable
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Tensor
from moesize.quant.checkpoint import is_linear_module, is_named_module, scheme_of
from moesize.quant.floats import Fp8Block, Fp8Channel, Fp8Tensor, MxFp4, MxFp8, NvFp4
from moesize.quant.formats import WeightFormat
from moesize.quant.integers import Awq, Int8
from moesize.quant.matching import Choose, ModuleSet, assign
from moesize.quant.scheme import Part, QuantScheme, Rule

_MIXED = "MIXED_PRECISION"
_ALGOS: dict[str, tuple[str, Callable[[int], WeightFormat]]] = {
    "FP8": ("fp8-static", lambda _group: Fp8Tensor(static_inputs=True, scale_shape=())),
    "FP8_PER_CHANNEL_PER_TOKEN": ("fp8-channel", lambda _group: Fp8Channel()),
    "FP8_PB_WO": ("fp8-block", lambda _group: Fp8Block(scale_suffix=".weight_scale")),
    "FP8_PB_REAL": ("fp8-block", lambda _group: Fp8Block(scale_suffix=".weight_scale")),
    "NVFP4": ("nvfp4", lambda _group: NvFp4(modelopt=True)),
    "NVFP4_AWQ": ("nvfp4", lambda _group: NvFp4(modelopt=True)),
    "W4A8_NVFP4_FP8": ("nvfp4", lambda _group: NvFp4(modelopt=True)),
    "W4A16_NVFP4": ("nvfp4a16", lambda _group: NvFp4(modelopt=True, static_inputs=False)),
    "MXFP8": ("mxfp8", lambda _group: MxFp8()),
    "MXFP4": ("mxfp4", lambda _group: MxFp4(weight_name=".weight")),
    "W4A8_MXFP4_FP8": ("mxfp4", lambda _group: MxFp4(weight_name=".weight")),
    "W4A16_AWQ": ("awq-4bit", lambda group: Awq(4, group)),
    "W4A8_AWQ": ("awq-4bit", lambda group: Awq(4, group)),
    "INT4_AWQ": ("awq-4bit", lambda group: Awq(4, group)),
    "W8A8_SQ_PER_CHANNEL": ("int8", lambda _group: Int8()),
    "INT8_SQ": ("int8", lambda _group: Int8()),
}  # fmt: skip


def read(method: str, config: Fields, spec: ModelSpec) -> QuantScheme:
    """The scheme of such a configuration, in either of its two shapes."""
    inner = config.maybe_sub("quantization") or config
    left = _left(inner)
    if inner.has("quantized_layers") or inner.text("quant_algo", default="") == _MIXED:
        names, main, choose = _by_module(inner)
        return scheme_of(
            _joined(names), method, spec, _rule(choose, left, by_name=True), main, kv_format=_kv_format(inner)
        )
    name, fmt = _format(inner, inner.text("quant_algo"))
    return scheme_of(name, method, spec, _rule(lambda _module: fmt, left), fmt, kv_format=_kv_format(inner))


def read_on_top(config: Fields, spec: ModelSpec, base_name: str, method: str, base: Rule) -> QuantScheme:
    """A checkpoint of another method of which ModelOpt has replaced the `quantized_layers`."""
    names, main, choose = _by_module(config)

    def rule(tensor: Tensor) -> Iterator[Part]:
        for part, fmt in _rule(choose, ModuleSet(()), by_name=True)(tensor):
            if fmt is None:
                yield from base(part)
            else:
                yield part, fmt

    return scheme_of(_joined([*names, base_name]), method, spec, rule, main, kv_format=_kv_format(config))


def _by_module(config: Fields) -> tuple[list[str], WeightFormat, Choose]:
    """The formats of `quantized_layers`: their names, the first, and the choice by a module's or its parents' name."""
    layers = config.sub("quantized_layers")
    formats: dict[tuple[str, str], tuple[str, WeightFormat]] = {}
    chosen: dict[str, WeightFormat] = {}
    for module, value in layers.values.items():
        if not isinstance(value, Mapping):
            raise InputError(f"{layers.where}: {printable(str(module))} holds no settings")
        key = (repr(value.get("quant_algo")), repr(value.get("group_size")))
        if key not in formats:
            one = Fields(value, f"{layers.where}: {printable(module)}")
            formats[key] = _format(one, one.text("quant_algo"))
        chosen[module] = formats[key][1]
    if not chosen:
        raise InputError(f"{config.where}: quantized_layers is empty")

    def choose(module: str) -> WeightFormat | None:
        at = len(module)
        while at > 0:
            fmt = chosen.get(module[:at])
            if fmt is not None:
                return fmt
            at = module.rfind(".", 0, at)
        return None

    names = list(dict.fromkeys(name for name, _ in formats.values()))
    return names, next(iter(formats.values()))[1], choose


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else "mixed-" + "+".join(n.removeprefix("mixed-") for n in names)


def _rule(choose: Choose, left: ModuleSet, *, by_name: bool = False) -> Rule:
    """`choose` for what ModelOpt takes by default, or, `by_name`, for every matrix it may have named."""

    def pick(module: str) -> WeightFormat | None:
        return None if module in left else choose(module)

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        takes = is_named_module(tensor) if by_name else is_linear_module(tensor)
        return assign(tensor, pick, layers_differ=True) if takes else ((tensor, None),)

    return rule


def _left(config: Fields) -> ModuleSet:
    return ModuleSet(config.texts("exclude_modules", "ignore", default=()))


def _format(config: Fields, algo: str) -> tuple[str, WeightFormat]:
    known = _ALGOS.get(algo.upper())
    if known is None:
        raise UnknownNameError(f"quant_algo in {config.where}:", algo, [known.lower() for known in _ALGOS])
    group = config.count("group_size", default=16, minimum=0)
    if "NVFP4" in algo.upper() and group not in (0, 16):
        raise InputError(f"{config.where}: nvfp4 has groups of 16, not {group}")
    return known[0], known[1](group or 128)


def _kv_format(config: Fields) -> str | None:
    algo = config.values.get("kv_cache_quant_algo") or config.values.get("kv_cache_scheme")
    if algo is None:
        return None
    if isinstance(algo, str):
        return {"FP8": "fp8", "NVFP4": "nvfp4", "INT8": "int8"}.get(algo.upper())
    scheme = config.sub("kv_cache_scheme")
    return "nvfp4" if scheme.count("num_bits", default=8) == 4 else "fp8"
