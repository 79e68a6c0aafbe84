"""KV-cache formats: the bytes of one key or value vector of one head, scales included.

Widths and scales: vLLM `vllm/config/cache.py`, `v1/kv_cache_interface.py` and `v1/attention/backends/triton_attn.py`
(https://github.com/vllm-project/vllm), SGLang
(https://docs.sglang.io/docs/advanced_features/quantized_kv_cache.md), llama.cpp block structs
(https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-common.h), exllamav2/3 `cache`, KIVI
(https://github.com/jy-yuan/KIVI), TurboQuant in vLLM (https://github.com/vllm-project/vllm/pull/38479).
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from moesize.errors import InputError, UnknownNameError
from moesize.units import DTYPE_BYTES, ceil_div


class Row(NamedTuple):
    """How one vector of a head is stored.

    `bits` per element, `group_bytes` of scales per `group` elements, `extra_bytes` once.
    """

    bits: float
    group: int = 0
    group_bytes: int = 0
    extra_bytes: int = 0

    def nbytes(self, elements: int) -> int:
        """Bytes of a vector; whole bytes, and whole groups where the format has them.

        Raises:
            InputError: a dimension that whole groups do not make up.
        """
        if self.group and elements % self.group:
            raise InputError(
                f"a head of {elements} elements is not made of the groups of {self.group} this cache format has"
            )
        scales = elements // self.group * self.group_bytes if self.group else 0
        return ceil_div(int(elements * self.bits * 8), 64) + scales + self.extra_bytes


class KvFormat(NamedTuple):
    """A cache format.

    Attributes:
        name: As the engine spells it.
        key: Of keys.
        value: Of values.
        engines: That accept it.
        min_capability: First CUDA compute capability it runs on; 0 for any.
        native_capability: First one with hardware for it; below that it works in software.
        needs_flash_attention: llama.cpp quantises values only with flash attention.
        align_bytes: Key and value of a head together are rounded up to this.
        residual_tokens: The newest tokens, kept in 16 bits beside the quantised ones.
        latent: Elements of one MLA entry (latent and rotary part) -> its bytes, where a layout of its own exists.
        note: For the report.
    """

    name: str
    key: Row
    value: Row
    engines: tuple[str, ...]
    min_capability: float = 0.0
    native_capability: float = 0.0
    needs_flash_attention: bool = False
    align_bytes: int = 1
    residual_tokens: int = 0
    latent: Mapping[int, int] | None = None
    note: str = ""

    def head_bytes(self, key_dim: int, value_dim: int) -> int:
        """Bytes of one token in one head of one layer; `value_dim` is 0 where values are read from the keys' latent."""
        if self.latent is not None and not value_dim:
            if key_dim not in self.latent:
                raise InputError(f"{self.name} has no layout for a latent of {key_dim} elements")
            return self.latent[key_dim]
        total = self.key.nbytes(key_dim) + (self.value.nbytes(value_dim) if value_dim else 0)
        return ceil_div(total, self.align_bytes) * self.align_bytes

    @property
    def bits(self) -> float:
        """Bits per element, keys and values averaged, for heads of 128."""
        return 4 * self.head_bytes(128, 128) / 128


def kv_format(name: str, *, dtype: str, checkpoint: str | None = None, engine: str | None = None) -> KvFormat:
    """The format a name stands for; `auto` is the checkpoint's own request, or else the model's dtype.

    Args:
        name: `auto`, a dtype, an engine's name, or two joined by `/` or `,` for keys and values (llama.cpp, exllamav3).
        dtype: The model's.
        checkpoint: What the checkpoint asks for (`QuantScheme.kv_format`).
        engine: Whose meaning of a short name is meant, and who must accept the format; None for any.

    Raises:
        UnknownNameError: no such format.
        InputError: one the engine does not have.
    """
    text = name.strip().lower().replace("-", "_").replace("torch.", "")
    if text == "auto":
        text = checkpoint or dtype
        if checkpoint and engine and engine not in _formats()[_meant(checkpoint, engine)].engines:
            text = dtype
    for separator in ("/", ","):
        if separator in text:
            key, value = (_one(part, engine, name) for part in text.split(separator, 1))
            return _of_two(key, value)
    return _one(text, engine, name)


def check_kv(fmt: KvFormat, *, capability: float | None = None, flash_attention: bool = True) -> str | None:
    """What a GPU makes of a format: a sentence where it runs in software, None where it runs as it should.

    Raises:
        InputError: it cannot run at all.
    """
    if fmt.needs_flash_attention and not flash_attention:
        raise InputError(f"a {fmt.name} value cache needs flash attention, which is switched off")
    if capability is None:
        return None
    if capability < fmt.min_capability:
        raise InputError(
            f"a {fmt.name} KV cache needs compute capability {fmt.min_capability:g}, this GPU has {capability:g}"
        )
    if capability < fmt.native_capability:
        return f"{fmt.name} KV runs in software below compute capability {fmt.native_capability:g}"
    return None


def _one(text: str, engine: str | None, asked: str) -> KvFormat:
    found = _formats().get(_meant(text, engine))
    if found is None:
        raise UnknownNameError("KV-cache format", asked, [*_formats(), *_ALIASES, "auto"])
    if engine and engine not in found.engines:
        raise InputError(
            f"{engine} has no {found.name} KV cache; it has "
            + ", ".join(f.name for f in _formats().values() if engine in f.engines)
        )
    return found


def _meant(text: str, engine: str | None) -> str:
    return _BY_ENGINE.get((engine or "", text)) or _ALIASES.get(text, text)


def _of_two(key: KvFormat, value: KvFormat) -> KvFormat:
    return KvFormat(
        name=f"{key.name}/{value.name}",
        key=key.key,
        value=value.value,
        engines=tuple(e for e in key.engines if e in value.engines),
        min_capability=max(key.min_capability, value.min_capability),
        native_capability=max(key.native_capability, value.native_capability),
        needs_flash_attention=value.needs_flash_attention,
        residual_tokens=max(key.residual_tokens, value.residual_tokens),
    )


_ALIASES = {
    "bf16": "bfloat16", "fp16": "float16", "half": "float16", "f16": "float16", "fp32": "float32", "f32": "float32",
    "fp8_e4m3fn": "fp8_e4m3", "float8_e4m3fn": "fp8_e4m3", "float8_e5m2": "fp8_e5m2", "e4m3": "fp8_e4m3",
    "e5m2": "fp8_e5m2", "float8": "fp8", "fp4": "nvfp4", "mxfp4": "fp4_e2m1", "kivi": "kivi_2bit", "kivi2": "kivi_2bit",
    "kivi4": "kivi_4bit", "turboquant": "turboquant_4bit_nc",
}  # fmt: skip
#: Short names an engine gives a meaning of its own.
_BY_ENGINE = {
    ("vllm", "int8"): "int8_per_token_head",
    ("vllm", "int4"): "int4_per_token_head",
    ("sglang", "fp8"): "fp8_e4m3",
    ("sglang", "fp4"): "fp4_e2m1",
    ("sglang", "nvfp4"): "fp4_e2m1",
    ("transformers", "int4"): "quanto_int4",
    ("transformers", "int2"): "quanto_int2",
    ("exllamav2", "q4"): "exl2_q4",
    ("exllamav2", "q6"): "exl2_q6",
    ("exllamav2", "q8"): "exl2_q8",
}


@cache
def _formats() -> dict[str, KvFormat]:
    """All formats by name; built when the first is asked for."""
    every = (
        "vllm",
        "sglang",
        "llama.cpp",
        "tensorrt-llm",
        "tgi",
        "deepspeed",
        "transformers",
        "exllamav2",
        "exllamav3",
        "lmdeploy",
    )
    cuda = ("vllm", "sglang", "tensorrt-llm", "tgi")
    found = [_both(dtype, Row(8.0 * DTYPE_BYTES[dtype]), every) for dtype in ("float32", "float16", "bfloat16")]
    byte = Row(8)
    # One scale for a whole layer: no bytes per token. Ampere reads it through FlashInfer; Triton's kernels need Ada.
    found += [
        KvFormat(n, byte, byte, e, 8.0, 8.9)
        for n, e in (("fp8", cuda), ("fp8_e4m3", cuda), ("fp8_e5m2", ("vllm", "sglang", "tgi")), ("fp8_inc", ("vllm",)))
    ]
    found += [
        KvFormat("int8", byte, byte, ("tensorrt-llm",), 7.0),
        KvFormat("int8_per_token_head", Row(8, extra_bytes=4), Row(8, extra_bytes=4), ("vllm",), 8.0),
        KvFormat("fp8_per_token_head", Row(8, extra_bytes=4), Row(8, extra_bytes=4), ("vllm",), 8.9),
        KvFormat("int4_per_token_head", Row(4, extra_bytes=4), Row(4, extra_bytes=4), ("vllm",), 8.0),
        KvFormat("nvfp4", Row(4, 16, 1), Row(4, 16, 1), ("vllm", "tensorrt-llm"), 10.0),
        KvFormat("nvfp4_4over6", Row(4, 16, 1), Row(4, 16, 1), ("vllm",), 10.0),
        KvFormat("fp4_e2m1", Row(4, 16, 1), Row(4, 16, 1), ("sglang",), 10.0),
        # 512 latent elements in FP8 with four float32 scales, 64 rotary ones in bfloat16.
        # DeepSeek-V4's: 448 with a scale byte per 64, padded to 8, and 64 rotary ones.
        KvFormat("fp8_ds_mla", byte, byte, ("vllm",), 9.0, latent={576: 512 + 4 * 4 + 64 * 2, 512: 448 + 8 + 64 * 2}),
        # 512 latent elements in FP4 with an FP8 scale per 16, 64 rotary ones in FP8.
        KvFormat("nvfp4_ds_mla", Row(4, 16, 1), Row(4, 16, 1), ("vllm",), 10.0, latent={576: 256 + 32 + 64}),
    ]
    # A 16-bit norm per key, a 16-bit scale and zero point per value; the pair is padded to an even number of bytes.
    for name, key, value in (
        ("turboquant_k8v4", Row(8), 4),
        ("turboquant_4bit_nc", Row(4, extra_bytes=2), 4),
        ("turboquant_k3v4_nc", Row(3, extra_bytes=2), 4),
        ("turboquant_3bit_nc", Row(3, extra_bytes=2), 3),
    ):
        found.append(KvFormat(name, key, Row(value, extra_bytes=4), ("vllm",), 8.0, align_bytes=2))
    # llama.cpp's blocks of 32: a 16-bit scale, for the _1 types a 16-bit minimum as well.
    for name, bits, scales in (
        ("q8_0", 8, 2),
        ("q5_1", 5, 4),
        ("q5_0", 5, 2),
        ("q4_1", 4, 4),
        ("q4_0", 4, 2),
        ("iq4_nl", 4, 2),
    ):
        row = Row(bits, 32, scales)
        found.append(KvFormat(name, row, row, ("llama.cpp",), needs_flash_attention=True))
    found += [_both(f"exl2_q{bits}", Row(bits, 32, 2), ("exllamav2",)) for bits in (4, 6, 8)]
    found += [_both(f"exl3_{bits}bit", Row(bits, 32, 2), ("exllamav3",)) for bits in range(2, 9)]
    # A 16-bit scale and minimum per group; the newest tokens stay in 16 bits.
    found += [
        KvFormat(f"kivi_{bits}bit", Row(bits, 32, 4), Row(bits, 32, 4), ("transformers",), residual_tokens=128)
        for bits in (2, 4)
    ]
    found += [
        KvFormat(f"quanto_int{bits}", Row(bits, 64, 4), Row(bits, 64, 4), ("transformers",), residual_tokens=128)
        for bits in (2, 4)
    ]
    # LMDeploy keeps a 16-bit scale and zero point per token and head.
    found += [_both(f"lmdeploy_int{bits}", Row(bits, extra_bytes=4), ("lmdeploy",)) for bits in (4, 8)]
    return {fmt.name: fmt for fmt in found}


def _both(name: str, row: Row, engines: tuple[str, ...]) -> KvFormat:
    return KvFormat(name, row, row, engines)


def list_kv_formats() -> tuple[KvFormat, ...]:
    """All formats."""
    return tuple(_formats().values())
