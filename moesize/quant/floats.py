"""Formats of small floats: FP8, MXFP8, MXFP4, NVFP4.

Layouts: DeepSeek-V3 `README_WEIGHTS.md` (https://huggingface.co/deepseek-ai/DeepSeek-V3/blob/main/README_WEIGHTS.md),
compressed-tensors (https://github.com/vllm-project/compressed-tensors), gpt-oss
(https://github.com/openai/gpt-oss), the OCP Microscaling specification v1.0, NVIDIA ModelOpt
(https://github.com/NVIDIA/TensorRT-Model-Optimizer).
"""

from dataclasses import dataclass

from moesize.quant.formats import Array, Layout, refuse_unless_divides
from moesize.units import ceil_div


@dataclass(frozen=True, slots=True)
class _EightBits(Layout):
    """Floats of one byte; what differs is their scales."""

    @property
    def bits(self) -> float:
        """Of a weight."""
        return 8.0


@dataclass(frozen=True, slots=True)
class Fp8Tensor(_EightBits):
    """FP8 with one scale for the whole matrix, and one for its inputs when they are static."""

    static_inputs: bool = False
    scale_dtype: str = "float32"
    scale_shape: tuple[int, ...] = (1,)

    @property
    def name(self) -> str:
        """For the report."""
        return "fp8 per tensor"

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Weight, its scale, the inputs' scale."""
        weight = Array(".weight", (out_features, in_features), "float8_e4m3fn")
        scale = Array(".weight_scale", self.scale_shape, self.scale_dtype)
        return (
            (weight, scale, Array(".input_scale", self.scale_shape, self.scale_dtype))
            if self.static_inputs
            else (weight, scale)
        )


@dataclass(frozen=True, slots=True)
class Fp8Channel(_EightBits):
    """FP8 with one scale per output row."""

    scale_dtype: str = "float32"

    @property
    def name(self) -> str:
        """For the report."""
        return "fp8 per channel"

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Weight and a column of scales."""
        return (
            Array(".weight", (out_features, in_features), "float8_e4m3fn"),
            Array(".weight_scale", (out_features, 1), self.scale_dtype),
        )


@dataclass(frozen=True, slots=True)
class Fp8Block(_EightBits):
    """FP8 with one scale per tile; tiles at the edges are padded, so a partial one has a scale too."""

    block: tuple[int, int] = (128, 128)
    scale_dtype: str = "float32"
    scale_suffix: str = ".weight_scale_inv"

    @property
    def name(self) -> str:
        """For the report."""
        return f"fp8 {self.block[0]}x{self.block[1]}"

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Weight and the grid of scales."""
        rows, columns = self.block
        return (
            Array(".weight", (out_features, in_features), "float8_e4m3fn"),
            Array(self.scale_suffix, (ceil_div(out_features, rows), ceil_div(in_features, columns)), self.scale_dtype),
        )


@dataclass(frozen=True, slots=True)
class MxFp8(_EightBits):
    """FP8 with a power-of-two scale (one byte) per 32 weights of a row."""

    @property
    def name(self) -> str:
        """For the report."""
        return "mxfp8"

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Weight and scales."""
        return (
            Array(".weight", (out_features, in_features), "float8_e4m3fn"),
            Array(".weight_scale", (out_features, in_features // 32), "uint8"),
        )

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Rows are cut into 32s."""
        refuse_unless_divides("mxfp8", 32, in_features, "an input dimension")


@dataclass(frozen=True, slots=True)
class MxFp4(Layout):
    """4-bit floats (or 6-bit ones), packed, with a power-of-two scale (one byte) per 32 weights of a row.

    `blocks` is gpt-oss's own layout (`_blocks`, `_scales`); other writers spell the two as `weight_name` and
    `scale_name`.
    """

    blocks: bool = False
    weight_name: str = ".weight_packed"
    scale_name: str = ".weight_scale"
    weight_bits: int = 4

    @property
    def name(self) -> str:
        """For the report."""
        return f"mxfp{self.weight_bits}"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return float(self.weight_bits)

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight and scales."""
        groups = in_features // 32
        if self.blocks:
            return (
                Array("_blocks", (out_features, groups, 16), "uint8"),
                Array("_scales", (out_features, groups), "uint8"),
            )
        return (
            Array(self.weight_name, (out_features, in_features * self.weight_bits // 8), "uint8"),
            Array(self.scale_name, (out_features, groups), "uint8"),
        )

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Rows are cut into 32s."""
        refuse_unless_divides(self.name, 32, in_features, "an input dimension")


@dataclass(frozen=True, slots=True)
class NvFp4(Layout):
    """4-bit floats with an FP8 scale per 16 weights of a row and a float32 scale for the matrix.

    `modelopt` spells the arrays as ModelOpt does; `static_inputs` adds the float32 scale of the activations, which
    weight-only NVFP4 (W4A16) leaves out.
    """

    modelopt: bool = False
    static_inputs: bool = True

    @property
    def name(self) -> str:
        """For the report."""
        return "nvfp4"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return 4.0

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight, scales, scale of the scales, scale of the inputs."""
        packed, whole, inputs, scalar = (
            (".weight", ".weight_scale_2", ".input_scale", ())
            if self.modelopt
            else (".weight_packed", ".weight_global_scale", ".input_global_scale", (1,))
        )
        arrays = (
            Array(packed, (out_features, in_features // 2), "uint8"),
            Array(".weight_scale", (out_features, in_features // 16), "float8_e4m3fn"),
            Array(whole, scalar, "float32"),
        )
        return (*arrays, Array(inputs, scalar, "float32")) if self.static_inputs else arrays

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Rows are cut into 16s."""
        refuse_unless_divides("nvfp4", 16, in_features, "an input dimension")
