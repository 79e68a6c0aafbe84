"""The quantisation a launch asks for: its flag, else what the checkpoint says of itself, else its name."""

from dataclasses import dataclass
from typing import Final

from moesize.errors import MoesizeError
from moesize.gate.facts import Deployment
from moesize.hardware.gpu import GpuSpec
from moesize.model.spec import ModelSpec
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.names import resolve_quant

#: Words engines have for methods, by the name known here. Those of `_STORED` only tell how a checkpoint is read.
_ALIASES: Final = {
    "awq_marlin": "awq",
    "gptq_marlin": "gptq",
    "gptq_marlin_24": "gptq",
    "gptq_bitblas": "gptq",
    "marlin": "gptq",
    "experts_int8": "int8",
    "fbgemm_fp8": "fp8",
    "w8a8_fp8": "fp8",
    "w8a8_int8": "int8",
    "modelopt": "fp8",
    "modelopt_fp4": "nvfp4",
    "bitsandbytes-nf4": "bnb-nf4",
    "bitsandbytes-fp4": "bnb-nf4",
    "auto_round": "autoround",
    "auto-round": "autoround",
    "intel/auto-round": "autoround",
    "inc": "autoround",
    "fp8_kv": "fp8",
    "fp8_w8a8": "fp8",
}
_STORED: Final = frozenset(
    ("compressed-tensors", "moe_wna16", "gguf", "quark", "torchao", "modelopt_mixed", "auto", "none")
)
#: What `llama-server -hf` and Ollama's library take when a name carries no quantisation
#: (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md, https://docs.ollama.com/import).
_GGUF_DEFAULT: Final = "q4_k_m"
_GGUF_ENGINES: Final = ("llama.cpp", "ollama")
#: vLLM and SGLang run a bfloat16 checkpoint in float16 on cards without bfloat16, unless told otherwise.
_BFLOAT16_CAPABILITY: Final = (8, 0)
_FULL_PRECISION: Final = {"float32": "fp32", "float": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"}


@dataclass(frozen=True, slots=True)
class AskedWeights:
    """A name `resolve_quant` takes (None: as stored), or why there is none; and what was assumed."""

    name: str | None = None
    unknown: str | None = None
    note: str | None = None


def asked_weights(deployment: Deployment, spec: ModelSpec, gpu: GpuSpec) -> AskedWeights:
    """The weights as the engine will hold them on this GPU."""
    stated = deployment.quantization.value if deployment.quantization else None
    hint = deployment.quantization_hint.value if deployment.quantization_hint else None
    if stated and stated.lower() in _STORED:
        stated = None
    engine = deployment.engine.value
    if engine in _GGUF_ENGINES:
        return _gguf(deployment, stated or hint or spec.quant_hint, spec)
    if stated:
        return _known(stated, hint, spec)
    if spec.quantization_config or spec.quant_hint:
        return AskedWeights()
    if hint:
        return _known(hint, None, spec)
    return AskedWeights(_plain(deployment, spec, gpu))


def _gguf(deployment: Deployment, name: str | None, spec: ModelSpec) -> AskedWeights:
    """What a GGUF file holds: its name tells, whatever the checkpoint it was made from is stored in."""
    if name:
        return _known("mxfp4_moe" if name.lower() == "mxfp4" else name, None, spec)
    if deployment.model is not None and deployment.model.value.endswith(".gguf"):
        return AskedWeights(unknown="the name of the GGUF file does not tell its quantisation")
    return AskedWeights(_GGUF_DEFAULT, note=f"no quantisation is named: taken as {_GGUF_DEFAULT}")


def _known(name: str, hint: str | None, spec: ModelSpec) -> AskedWeights:
    """The first of the flag's word and the name's hint that names a quantisation."""
    method = _ALIASES.get(name.lower(), name)
    if (
        hint
        and spec.quantization_config is None
        and _ALIASES.get(hint.lower(), hint).lower().startswith(method.lower())
    ):
        method = hint  # `--quantization gptq` on `…-GPTQ-Int8`: the name is the more exact one
    if spec.quantization_config and stored_scheme(spec).method.replace("_", "-") == method.replace("_", "-").lower():
        return AskedWeights()
    why = ""
    for word in (method, hint) if hint else (method,):
        plain = word.removeprefix("UD-").removeprefix("ud-")
        try:
            resolve_quant(plain, spec)
        except MoesizeError as error:
            why = str(error)
            continue
        return AskedWeights(plain)
    return AskedWeights(unknown=why)


def _plain(deployment: Deployment, spec: ModelSpec, gpu: GpuSpec) -> str | None:
    """The dtype of weights nothing quantises; None for the checkpoint's own."""
    dtype = _FULL_PRECISION.get(deployment.dtype.value.lower()) if deployment.dtype else None
    if dtype:
        return dtype
    old = gpu.compute_capability is not None and gpu.compute_capability < _BFLOAT16_CAPABILITY
    return "fp16" if old and spec.dtype == "bfloat16" else None
