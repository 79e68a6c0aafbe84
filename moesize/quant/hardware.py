"""Whether a GPU computes in a format, runs it through a weight-only kernel, or cannot run it, from `hardware.yaml`."""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from moesize.data import read_yaml
from moesize.errors import InputError
from moesize.quant.scheme import QuantScheme

#: Class of a format -> kind in the file; formats of a method with a kind of its own are found by the method.
_KINDS = {
    "Fp8Tensor": "fp8", "Fp8Channel": "fp8", "Fp8Block": "fp8", "MxFp8": "mxfp8", "MxFp4": "mxfp4", "NvFp4": "nvfp4",
    "Int8": "int8", "PackedInt": "packed_int", "GroupedInt": "torchao", "Gptq": "gptq", "Awq": "awq", "Hqq": "hqq",
    "Bnb4Bit": "bitsandbytes", "BnbInt8": "bitsandbytes", "Aqlm": "aqlm", "Exl2": "exl2", "Exl3": "exl3",
    "Ggml": "gguf",
}  # fmt: skip


class Level(StrEnum):
    """How a GPU runs a format."""

    NATIVE = "native"
    WEIGHT_ONLY = "weight-only"
    UNSUPPORTED = "unsupported"


class Support(NamedTuple):
    """The answer, as a sentence where there is something to say, with the source of the limit."""

    level: Level
    text: str
    source: str


def gpu_support(scheme: QuantScheme, capability: float, *, engine: str = "vllm") -> Support:
    """How a GPU of a CUDA compute capability (8.6, 9.0) runs a scheme's main format under an engine.

    Raises:
        InputError: a capability that is no number above 0.
    """
    if not capability > 0:
        raise InputError(f"a compute capability is a number like 8.6, not {capability!r}")
    kind = kind_of(scheme)
    facts = _kinds()[kind]
    own = facts.get("engines", {}).get(engine, {})
    runs, source = float(own.get("runs", facts["runs"])), str(own.get("source", facts["source"]))
    native = float(facts["native"])
    what = f"{kind} {'' if kind in ('float16', 'bfloat16', 'float32') else 'weights '}".strip()
    if capability < runs:
        text = f"{engine} does not run {what} below compute capability {runs:g}; this GPU has {capability:g}"
        if "instead" in facts:
            text += f"; use {facts['instead']}"
        return Support(Level.UNSUPPORTED, text, source)
    if capability < native:
        kernel = facts.get("kernel")
        text = f"this GPU does not compute in {kind}: {what} run through a weight-only kernel"
        return Support(Level.WEIGHT_ONLY, text + (f" ({kernel})" if kernel else ""), source)
    return Support(Level.NATIVE, "", source)


def kind_of(scheme: QuantScheme) -> str:
    """The kind of weights whose kernels decide."""
    if scheme.format is None:
        return scheme.dtype
    if scheme.method in _kinds():
        return scheme.method
    return _KINDS[type(scheme.format).__name__]


@cache
def _kinds() -> dict[str, Any]:
    kinds: dict[str, Any] = read_yaml(Path(__file__).with_name("hardware.yaml"))["kinds"]
    return kinds
