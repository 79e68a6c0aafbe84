"""Reads `quantization_config` of GPTQ, AutoRound, AWQ, bitsandbytes, HQQ, quanto, torchao, EETQ, AQLM and EXL2/EXL3."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from moesize.errors import InputError, UnknownNameError, printable
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Tensor
from moesize.quant import codebooks, floats, integers, name_rules
from moesize.quant.checkpoint import is_linear_module, scheme_of
from moesize.quant.formats import WeightFormat
from moesize.quant.matching import Choose, ModuleSet, Pattern, assign
from moesize.quant.scheme import Part, QuantScheme, is_quantisable


def read(method: str, config: Fields, spec: ModelSpec) -> QuantScheme:
    """The scheme of such a configuration."""
    return _READ[method](config, spec)


def _gptq(config: Fields, spec: ModelSpec) -> QuantScheme:
    base = integers.Gptq(_bits(config), _group(config, "group_size"), zero_bias=_written_by_autogptq(config))
    inside = config.values.get("modules_in_block_to_quantize")
    only = ModuleSet(_flat(config, inside)) if inside else None
    overrides = _dynamic(config, base)

    def choose(module: str) -> WeightFormat | None:
        for pattern, fmt in overrides:
            if pattern.matches(module):
                return fmt
        return base if only is None or module in only else None

    differ = any(p.tells_digits_apart for p, _ in overrides)
    head = config.flag("lm_head", default=False)

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        if tensor.role is Role.LM_HEAD and head and len(tensor.shape) == 2 and not tensor.tied_to:
            return ((tensor, base),)
        return assign(tensor, choose, layers_differ=differ) if is_quantisable(tensor) else ((tensor, None),)

    return scheme_of(_named("gptq", base.weight_bits, base.group), "gptq", spec, rule, base)


def _dynamic(config: Fields, base: integers.Gptq) -> list[tuple[Pattern, integers.Gptq | None]]:
    """GPTQModel's per-module overrides: `-:` leaves a module alone, `+:` (or nothing) changes bits and group."""
    found: list[tuple[Pattern, integers.Gptq | None]] = []
    dynamic = config.maybe_sub("dynamic")
    for key, value in (dynamic.values if dynamic else {}).items():
        pattern = Pattern(str(key).removeprefix("-:").removeprefix("+:"))
        if str(key).startswith("-:"):
            found.append((pattern, None))
            continue
        if not isinstance(value, Mapping):
            raise InputError(f"{config.where}: dynamic holds no settings for {printable(str(key))!r}")
        one = Fields(value, f"{config.where}: dynamic: {key}")
        bits = one.count("bits", default=base.weight_bits)
        found.append((pattern, replace(base, weight_bits=bits, group=_group(one, "group_size", base.group))))
    return found


def _written_by_autogptq(config: Fields) -> bool:
    """AutoGPTQ, unlike GPTQModel, leaves no `meta.quantizer`; it registers a bias for every matrix."""
    meta = config.values.get("meta")
    return not (isinstance(meta, Mapping) and meta.get("quantizer"))


def _auto_round(config: Fields, spec: ModelSpec) -> QuantScheme:
    bits, group = _bits(config), _group(config, "group_size")
    awq = "awq" in config.text("packing_format", default="")
    base: WeightFormat = integers.Awq(bits, group) if awq else integers.Gptq(bits, group)
    left = ModuleSet(_kept_whole(config))
    return _skipping("gptq", _named("awq" if awq else "gptq", bits, group), left, base, spec, is_quantisable)


def _kept_whole(config: Fields) -> list[str]:
    """The modules AutoRound was told to leave in 16 bits or more."""
    extra = config.maybe_sub("extra_config")
    settings = {name: value for name, value in (extra.values if extra else {}).items() if isinstance(value, Mapping)}
    where = f"{config.where}: extra_config"
    return [name for name, value in settings.items() if Fields(value, where).count("bits", default=1) >= 16]


def _awq(config: Fields, spec: ModelSpec) -> QuantScheme:
    fmt = integers.Awq(config.count("bits", "w_bit", default=4), _group(config, "group_size", keys=("q_group_size",)))
    left = ModuleSet(config.texts("modules_to_not_convert", default=()), substrings=True)
    return _skipping("awq", _named("awq", fmt.weight_bits, fmt.group), left, fmt, spec, is_quantisable)


def _bitsandbytes(config: Fields, spec: ModelSpec) -> QuantScheme:
    fmt: WeightFormat = codebooks.BnbInt8()
    name = "bnb-int8"
    if config.flag("load_in_4bit", "_load_in_4bit", default=False):
        kind = config.text("bnb_4bit_quant_type", default="fp4")
        if kind not in ("nf4", "fp4"):
            raise InputError(f"{config.where}: bnb_4bit_quant_type is {printable(kind)!r}, expected nf4 or fp4")
        nested = config.flag("bnb_4bit_use_double_quant", default=False)
        fmt = codebooks.Bnb4Bit(kind, nested=nested, dtype=spec.dtype)
        name = f"bnb-{kind}" + ("-dq" if nested else "")
    left = ModuleSet(config.texts("llm_int8_skip_modules", "modules_to_not_convert", default=()))
    return _skipping("bitsandbytes", name, left, fmt, spec, lambda t: is_linear_module(t) and not t.stacked)


def _hqq(config: Fields, spec: ModelSpec) -> QuantScheme:
    left = ModuleSet(config.texts("skip_modules", default=("lm_head",)))
    settings = config.sub("quant_config")
    if settings.has("weight_quant_params"):
        params = settings.sub("weight_quant_params")
        fmt = integers.Hqq(
            params.count("nbits"),
            params.count("group_size", default=64),
            params.count("axis", default=1, minimum=0),
            spec.dtype,
        )
        return _skipping("hqq", _named("hqq", fmt.weight_bits, fmt.group, 64), left, fmt, spec, is_linear_module)
    raise InputError(
        f"{config.where}: quant_config has no weight_quant_params; settings by layer type are not supported"
    )


def _quanto(config: Fields, spec: ModelSpec) -> QuantScheme:
    kind = config.text("weights", default="int8")
    made = name_rules.parse(f"quanto-{kind}", spec.dtype)
    if made is None:
        raise InputError(f"{config.where}: weights is {printable(kind)!r}, expected int8, int4, int2 or float8")
    left = ModuleSet(config.texts("modules_to_not_convert", default=()))
    return _skipping("quanto", made[0], left, made[2], spec, is_linear_module)


def _torchao(config: Fields, spec: ModelSpec) -> QuantScheme:
    kind, group = _torchao_kind(config)
    text = kind.lower().replace("_", "")
    fmt: WeightFormat
    if "int4" in text:
        fmt, name = integers.GroupedInt(4, group, spec.dtype, "torchao int4"), "torchao-int4"
        name += "" if group == 128 else f"-g{group}"
    elif "int8" in text:
        fmt, name = integers.Int8(spec.dtype), "torchao-int8"
    elif "float8" in text:
        fmt, name = floats.Fp8Channel(), "torchao-float8"
    else:
        known = ("int4_weight_only", "int8_weight_only", "float8_weight_only")
        raise UnknownNameError(f"torchao quant_type in {config.where}:", kind, known)
    left = ModuleSet(config.texts("modules_to_not_convert", default=()))
    return _skipping("torchao", name, left, fmt, spec, is_linear_module)


def _torchao_kind(config: Fields) -> tuple[str, int]:
    value: Any = config.values.get("quant_type")
    if isinstance(value, str):
        options = config.maybe_sub("quant_type_kwargs")
        return value, options.count("group_size", default=128) if options else 128
    default = Fields(config.sub("quant_type").values, config.where).sub("default")
    data = default.maybe_sub("_data")
    return default.text("_type"), data.count("group_size", default=128) if data else 128


def _eetq(config: Fields, spec: ModelSpec) -> QuantScheme:
    fmt = integers.Int8("float16", scale_suffix=".weight_scales")
    left = ModuleSet(config.texts("modules_to_not_convert", default=()))
    return _skipping("eetq", "eetq", left, fmt, spec, is_linear_module)


def _aqlm(config: Fields, spec: ModelSpec) -> QuantScheme:
    fmt = codebooks.Aqlm(
        config.count("num_codebooks", default=1, maximum=64),
        config.count("nbits_per_codebook", default=16, maximum=32),
        config.count("in_group_size", default=8),
    )
    if config.count("out_group_size", default=1) != 1:
        raise InputError(f"{config.where}: out_group_size other than 1 is not supported")
    left = ModuleSet(config.texts("linear_weights_not_to_quantize", default=()))
    name = f"aqlm-{fmt.codebooks}x{fmt.code_bits}" + ("" if fmt.in_group == 8 else f"-g{fmt.in_group}")
    return _skipping("aqlm", name, left, fmt, spec, is_linear_module)


def _exl(config: Fields, spec: ModelSpec) -> QuantScheme:
    exl3 = config.text("quant_method") == "exl3"
    make: Callable[[float], WeightFormat] = codebooks.Exl3 if exl3 else codebooks.Exl2
    fmt, head = make(config.number("bits")), make(config.number("head_bits", default=codebooks.EXL_HEAD_BITS))

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        if tensor.role is Role.LM_HEAD and len(tensor.shape) == 2:
            return ((replace(tensor, tied_to=None), head),)
        return ((tensor, fmt if is_quantisable(tensor) else None),)

    method = "exl3" if exl3 else "exl2"
    return scheme_of(f"{method}-{fmt.bits:g}bpw", method, spec, rule, fmt)


def _skipping(
    method: str, name: str, left: ModuleSet, fmt: WeightFormat, spec: ModelSpec, takes: Callable[[Tensor], bool]
) -> QuantScheme:
    """`fmt` for what `takes` accepts and `left` does not hold."""
    choose: Choose = lambda module: None if module in left else fmt  # noqa: E731

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        return assign(tensor, choose, layers_differ=left.tells_layers_apart) if takes(tensor) else ((tensor, None),)

    return scheme_of(name, method, spec, rule, fmt)


def _named(method: str, bits: int, group: int, default: int = 128) -> str:
    return f"{method}-{bits}bit" + ("" if group == default else f"-g{group}")


def _bits(config: Fields) -> int:
    return config.count("bits", maximum=16)


def _group(config: Fields, key: str, default: int = 128, keys: tuple[str, ...] = ()) -> int:
    if config.has(key, *keys) and config.values.get(key) == -1:
        return -1
    return config.count(key, *keys, default=default)


def _flat(config: Fields, value: object) -> list[str]:
    parts = value if isinstance(value, list | tuple) else [None]
    items = [item for part in parts for item in (part if isinstance(part, list | tuple) else [part])]
    names = [item for item in items if isinstance(item, str)]
    if len(names) < len(items):
        raise InputError(f"{config.where}: modules_in_block_to_quantize is no list of module names")
    return names


_READ: dict[str, Callable[[Fields, ModelSpec], QuantScheme]] = {
    "gptq": _gptq,
    "auto-round": _auto_round,
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "hqq": _hqq,
    "quanto": _quanto,
    "torchao": _torchao,
    "eetq": _eetq,
    "aqlm": _aqlm,
    "exl2": _exl,
    "exl3": _exl,
}  # fmt: skip
