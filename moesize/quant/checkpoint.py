"""A checkpoint's own `quantization_config`: what it is stored in, and what is left alone.

Readers follow the libraries that write these configurations: transformers `utils/quantization_config.py`
(https://github.com/huggingface/transformers), AutoGPTQ and GPTQModel, AutoAWQ, bitsandbytes; compressed-tensors, Quark
and ModelOpt have modules of their own.
"""

from collections.abc import Callable, Mapping
from typing import Any

from moesize.errors import InputError, UnknownNameError
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Tensor
from moesize.quant.formats import WeightFormat
from moesize.quant.scheme import QuantScheme, unquantised

_SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
#: quant_method -> module of this package that reads it with `read(config, spec)`.
READERS = {
    "fp8": "reads_floats",
    "fbgemm_fp8": "reads_floats",
    "mxfp4": "reads_floats",
    "mxfp8": "reads_floats",
    "gptq": "reads_integers",
    "auto-round": "reads_integers",
    "awq": "reads_integers",
    "bitsandbytes": "reads_integers",
    "hqq": "reads_integers",
    "quanto": "reads_integers",
    "torchao": "reads_integers",
    "eetq": "reads_integers",
    "aqlm": "reads_integers",
    "exl2": "reads_integers",
    "exl3": "reads_integers",
    "gguf": "reads_gguf",
    "compressed-tensors": "reads_compressed_tensors",
    "quark": "reads_quark",
    "modelopt": "reads_modelopt",
}
#: A loaded spec is asked about many times; its configuration is read once. Held so that an id stays its owner's.
_read: dict[int, tuple[Mapping[str, Any], tuple[Any, ...], QuantScheme]] = {}


def stored_scheme(spec: ModelSpec) -> QuantScheme:
    """What the checkpoint is stored in: its `quantization_config`, or plainly its dtype.

    Raises:
        UnknownNameError: a `quant_method` nothing is known of.
        InputError: a configuration with missing or impossible values, or one that fits none of the tensors.
    """
    config = spec.quantization_config
    if not config:
        return unquantised(_SHORT.get(spec.dtype, spec.dtype), spec.dtype, from_checkpoint=True)
    known = _read.get(id(config))
    if known and known[0] is config and known[1] is spec.tensors:
        return known[2]
    scheme = _read_config(Fields(config, f"{spec.name or spec.source}: quantization_config"), spec)
    if len(_read) >= 64:
        _read.clear()
    _read[id(config)] = (config, spec.tensors, scheme)
    return scheme


def method_of(config: Fields) -> str:
    """The method a configuration is of, also where it leaves `quant_method` out (ModelOpt's own files do)."""
    if config.has("quant_method"):
        method = config.text("quant_method").lower().replace("_", "-")
        return {"fbgemm-fp8": "fbgemm_fp8", "intel/auto-round": "auto-round", "sparseml": "compressed-tensors"}.get(
            method, method
        )
    if config.has("quant_algo", "quantization"):
        return "modelopt"
    if config.has("config_groups"):
        return "compressed-tensors"
    raise InputError(f"{config.where}: quant_method is missing")


def _read_config(config: Fields, spec: ModelSpec) -> QuantScheme:
    from importlib import import_module  # noqa: PLC0415  only quantised checkpoints need a reader

    from moesize.quant.matching import Budget  # noqa: PLC0415  only quantised checkpoints need it

    Budget.renew()
    method = method_of(config)
    if method not in READERS:
        raise UnknownNameError(f"quant_method in {config.where}:", method, READERS)
    read: Callable[[str, Fields, ModelSpec], QuantScheme] = import_module(f"moesize.quant.{READERS[method]}").read
    scheme = read(method, config, spec)
    if method != "gguf" and not any(fmt for tensor in spec.tensors for _, fmt in scheme.parts(tensor)):
        raise InputError(f"{config.where} is of method {method} but fits none of the model's matrices")
    return scheme


def linears(*roles: Role) -> Callable[[Tensor], bool]:
    """Whether a tensor is a matrix in its own storage and of a role other than `roles`."""

    def takes(tensor: Tensor) -> bool:
        return tensor.kind is Kind.LINEAR and not tensor.dtype and not tensor.tied_to and tensor.role not in roles

    return takes


#: Modules a quantiser of `nn.Linear` takes unless told otherwise. Heads and routers are kept by every writer's default
#: (and most routers are no nn.Linear), so a configuration that does not list them still means to leave them alone.
is_linear_module = linears(Role.LM_HEAD, Role.ROUTER, Role.EMBEDDING, Role.MTP)
#: Modules a configuration may quantise by naming them.
is_named_module = linears(Role.EMBEDDING)


def scheme_of(
    name: str,
    method: str,
    spec: ModelSpec,
    rule: Callable[[Tensor], Any],
    fmt: WeightFormat | None,
    *,
    notes: tuple[str, ...] = (),
    kv_format: str | None = None,
) -> QuantScheme:
    """A scheme read from a checkpoint."""
    return QuantScheme(name, method, spec.dtype, rule, fmt, notes, kv_format, from_checkpoint=True)
