"""Quantisations by the names people write: `gptq-4bit`, `awq`, `int4`, `w4a16`, `nf4`, `fp8`, `q4_k_m`, …."""

from dataclasses import replace
from typing import TYPE_CHECKING

from moesize.errors import InputError, UnknownNameError
from moesize.model.spec import ModelSpec, Role, Tensor
from moesize.quant import name_rules
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.formats import WeightFormat
from moesize.quant.scheme import Part, QuantScheme, Rule, by_convention, is_quantisable, unquantised

if TYPE_CHECKING:
    from moesize.quant.catalogue import QuantInfo

#: Names for which a checkpoint that is already of such a method answers with its own scheme, as engines do.
_STORED_ALREADY = {
    "fp8": ("fp8", "fbgemm_fp8", "compressed-tensors", "modelopt"),
    "gptq": ("gptq",),
    "awq": ("awq",),
    "mxfp4": ("mxfp4", "quark"),
    "nvfp4": ("modelopt", "compressed-tensors"),
    "bnb": ("bitsandbytes",),
    "bitsandbytes": ("bitsandbytes",),
    "compressed-tensors": ("compressed-tensors",),
    "modelopt": ("modelopt",),
}
#: Schemes by name and dtype: they keep what they have worked out.
_made: dict[tuple[str, str], QuantScheme] = {}
_STORED = frozenset({"none", "auto", "native", "checkpoint", "stored"})


def resolve_quant(name: str, spec: ModelSpec) -> QuantScheme:
    """The scheme a name stands for, on the tensors of `spec`.

    What is left alone keeps the model's dtype (bfloat16 where that is wider than 16 bits, as quantised checkpoints do).

    Raises:
        UnknownNameError: a name of no quantisation; with the nearest ones.
        InputError: a width or group size the format does not have.
    """
    text = name_rules.normal(name)
    if text in _STORED:
        return stored_scheme(spec)
    if text in name_rules.PLAIN:
        return unquantised(*name_rules.PLAIN[text])
    if spec.quantization_config and text in _STORED_ALREADY:
        stored = stored_scheme(spec)
        if stored.method in _STORED_ALREADY[text] and (text == stored.method or stored.name.startswith(text)):
            return stored
    if spec.quantization_config and spec.quantization_config.get("quant_method") == "gguf":
        stored = stored_scheme(spec)
        if text.replace("-", "_") == stored.name:
            return stored
        raise InputError(f"{spec.source} is a GGUF file of {stored.name}: size {name} on the model it was made from")
    dtype = spec.dtype if spec.dtype in ("float16", "bfloat16") else "bfloat16"
    made = name_rules.parse(text, dtype)
    if made:
        return _scheme(*made, dtype)
    from moesize.quant import gguf_mixes  # noqa: PLC0415  only GGUF names need it

    mix = gguf_mixes.find_mix(text, name)
    if mix is None:
        raise UnknownNameError("quantisation", name, _known_names(), "see `moesize quants`")
    return gguf_mixes.mix_scheme(mix, spec)


def list_quants() -> "tuple[QuantInfo, ...]":
    """What `moesize quants` lists."""
    from moesize.quant import catalogue  # noqa: PLC0415  its file is read for the list and for errors only

    return catalogue.list_quants()


def _known_names() -> list[str]:
    return [name for info in list_quants() for name in (info.name, *info.aliases)]


def _scheme(name: str, method: str, fmt: WeightFormat, dtype: str) -> QuantScheme:
    known = _made.get((name, dtype))
    if known is None:
        if len(_made) >= 256:
            _made.clear()
        known = _made[name, dtype] = _new_scheme(name, method, fmt, dtype)
    return known


def _new_scheme(name: str, method: str, fmt: WeightFormat, dtype: str) -> QuantScheme:
    rule: Rule = by_convention(fmt)
    notes: tuple[str, ...] = ()
    if method == "bitsandbytes":
        rule = by_convention(fmt, takes=_is_linear_module)
        notes = (f"bitsandbytes takes nn.Linear modules only: experts stored as one 3-D array stay in {dtype}",)
    elif method == "mxfp4":
        rule = _mxfp4_rule()
    elif method in ("exl2", "exl3"):
        rule = _with_head(fmt, method)
    return QuantScheme(name, method, dtype, rule, fmt, notes)


def _is_linear_module(tensor: Tensor) -> bool:
    return is_quantisable(tensor) and not tensor.stacked


def _mxfp4_rule() -> Rule:
    """As gpt-oss does: routed experts only, in its own layout where they are stored stacked."""
    from moesize.quant.floats import MxFp4  # noqa: PLC0415  formats are loaded by family

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        takes = is_quantisable(tensor) and tensor.role is Role.ROUTED_EXPERT
        return ((tensor, MxFp4(blocks=tensor.stacked, weight_name=".weight") if takes else None),)

    return rule


def _with_head(fmt: WeightFormat, method: str) -> Rule:
    """As exllama does: the head is quantised too, apart from a tied embedding, which stays."""
    from moesize.quant.codebooks import EXL_HEAD_BITS, Exl2, Exl3  # noqa: PLC0415  formats are loaded by family

    head: WeightFormat = Exl3(EXL_HEAD_BITS) if method == "exl3" else Exl2(EXL_HEAD_BITS)

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        if tensor.role is Role.LM_HEAD and len(tensor.shape) == 2:
            return ((replace(tensor, tied_to=None), head),)
        return ((tensor, fmt if is_quantisable(tensor) else None),)

    return rule
