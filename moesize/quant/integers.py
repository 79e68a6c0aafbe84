"""Formats of small integers with scales: GPTQ, AWQ, compressed-tensors, INT8, torchao, quanto, HQQ.

Layouts: AutoGPTQ `qlinear` (https://github.com/AutoGPTQ/AutoGPTQ), GPTQModel
(https://github.com/ModelCloud/GPTQModel), AutoAWQ `awq/modules/linear/gemm.py` (https://github.com/casper-hansen/AutoAWQ),
compressed-tensors `compressors` (https://github.com/vllm-project/compressed-tensors), HQQ
(https://github.com/mobiusml/hqq), torchao (https://github.com/pytorch/ao), quanto (https://github.com/huggingface/optimum-quanto).
"""

from dataclasses import dataclass

from moesize.errors import InputError
from moesize.quant.formats import Array, Layout, refuse_unless_divides
from moesize.units import ceil_div


@dataclass(frozen=True, slots=True)
class Gptq(Layout):
    """GPTQ: weights packed along the inputs, scales and packed zero points per group, a group index per input.

    Attributes:
        weight_bits: 2, 3, 4 or 8.
        group: Inputs that share a scale; -1 for all of them.
        zero_bias: AutoGPTQ registers a float16 bias for every matrix, also where the model has none.
    """

    weight_bits: int = 4
    group: int = 128
    zero_bias: bool = False

    @property
    def name(self) -> str:
        """For the report."""
        return f"gptq {self.weight_bits}-bit g{self.group}"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return float(self.weight_bits)

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight, packed zero points, scales, group index."""
        groups = 1 if self.group == -1 else ceil_div(in_features, self.group)
        bits = self.weight_bits
        arrays = (
            Array(".qweight", (in_features * bits // 32, out_features), "int32"),
            Array(".qzeros", (groups, out_features * bits // 32), "int32"),
            Array(".scales", (groups, out_features), "float16"),
            Array(".g_idx", (in_features,), "int32"),
        )
        return (*arrays, Array(".bias", (out_features,), "float16")) if self.zero_bias else arrays

    def check(self, out_features: int, in_features: int) -> None:
        """Both dimensions are packed into 32-bit words."""
        _refuse_bits("gptq", self.weight_bits, (2, 3, 4, 8))
        _refuse_group("gptq", self.group)
        per_word = 32 if self.weight_bits == 3 else 32 // self.weight_bits
        refuse_unless_divides(self.name, per_word, in_features, "an input dimension")
        refuse_unless_divides(self.name, per_word, out_features, "an output dimension")


@dataclass(frozen=True, slots=True)
class Awq(Layout):
    """AWQ (GEMM): weights and zero points packed along the outputs, scales per group; no group index."""

    weight_bits: int = 4
    group: int = 128

    @property
    def name(self) -> str:
        """For the report."""
        return f"awq {self.weight_bits}-bit g{self.group}"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return float(self.weight_bits)

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight, packed zero points, scales."""
        groups = 1 if self.group == -1 else in_features // self.group
        words = out_features * self.weight_bits // 32
        return (
            Array(".qweight", (in_features, words), "int32"),
            Array(".qzeros", (groups, words), "int32"),
            Array(".scales", (groups, out_features), "float16"),
        )

    def check(self, out_features: int, in_features: int) -> None:
        """Groups divide the inputs, words the outputs."""
        _refuse_bits("awq", self.weight_bits, (4, 8))
        _refuse_group("awq", self.group)
        if self.group != -1:
            refuse_unless_divides(self.name, self.group, in_features, "an input dimension")
        refuse_unless_divides(self.name, 32 // self.weight_bits, out_features, "an output dimension")


@dataclass(frozen=True, slots=True)
class PackedInt(Layout):
    """compressed-tensors `pack-quantized`: weights packed along the inputs, scales per group in the model's dtype.

    Attributes:
        weight_bits: 1 to 8.
        group: Inputs that share a scale; -1 for one scale per output row.
        scale_dtype: The model's.
        symmetric: Otherwise zero points, packed along the outputs, are stored as well.
        group_index: `actorder: group` stores which group each input belongs to.
    """

    weight_bits: int = 4
    group: int = 128
    scale_dtype: str = "bfloat16"
    symmetric: bool = True
    group_index: bool = False

    @property
    def name(self) -> str:
        """For the report."""
        return f"w{self.weight_bits}a16 g{self.group}"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return float(self.weight_bits)

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight, scales, shape, and what asymmetry and activation order add."""
        groups = 1 if self.group == -1 else in_features // self.group
        bits = self.weight_bits
        arrays = [
            Array(".weight_packed", (out_features, ceil_div(in_features * bits, 32)), "int32"),
            Array(".weight_scale", (out_features, groups), self.scale_dtype),
            Array(".weight_shape", (2,), "int64"),
        ]
        if not self.symmetric:
            arrays.append(Array(".weight_zero_point", (ceil_div(out_features * bits, 32), groups), "int32"))
        if self.group_index:
            arrays.append(Array(".weight_g_idx", (in_features,), "int32"))
        return tuple(arrays)

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Groups divide the inputs."""
        _refuse_bits("compressed-tensors", self.weight_bits, tuple(range(1, 9)))
        _refuse_group("compressed-tensors", self.group)
        if self.group != -1:
            refuse_unless_divides(self.name, self.group, in_features, "an input dimension")


@dataclass(frozen=True, slots=True)
class Int8(Layout):
    """One byte per weight and one scale per output row, per `group` inputs of it, or for the whole matrix.

    compressed-tensors stores narrower integers like this too where activations are quantised (W4A8).
    `scale_suffix` is the writer's spelling: compressed-tensors and torchao `.weight_scale`, EETQ `.weight_scales`.
    """

    scale_dtype: str = "float32"
    per_tensor: bool = False
    group: int = -1
    scale_suffix: str = ".weight_scale"

    @property
    def name(self) -> str:
        """For the report."""
        return "int8"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return 8.0

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Weight and scales."""
        groups = 1 if self.group == -1 else in_features // self.group
        scales = (1,) if self.per_tensor else (out_features, groups)
        return (
            Array(".weight", (out_features, in_features), "int8"),
            Array(self.scale_suffix, scales, self.scale_dtype),
        )

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Groups divide the inputs."""
        _refuse_group("int8", self.group)
        if self.group != -1:
            refuse_unless_divides("int8", self.group, in_features, "an input dimension")


@dataclass(frozen=True, slots=True)
class GroupedInt(Layout):
    """Integers with a scale and a zero point per group, both in the model's dtype: torchao int4, quanto int4/int2."""

    weight_bits: int = 4
    group: int = 128
    scale_dtype: str = "bfloat16"
    label: str = "int4"

    @property
    def name(self) -> str:
        """For the report."""
        return f"{self.label} g{self.group}"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return float(self.weight_bits)

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight, scales, zero points."""
        groups = in_features // self.group
        return (
            Array(".weight", (out_features, in_features * self.weight_bits // 8), "uint8"),
            Array(".weight_scale", (out_features, groups), self.scale_dtype),
            Array(".weight_zero_point", (out_features, groups), self.scale_dtype),
        )

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Groups divide the inputs."""
        _refuse_bits(self.label, self.weight_bits, (1, 2, 4, 8))
        refuse_unless_divides(self.name, self.group, in_features, "an input dimension")


@dataclass(frozen=True, slots=True)
class Hqq(Layout):
    """HQQ: the matrix as `elements / group` groups, packed along the first dimension, with scale and zero point each.

    3 bits are packed ten to a 32-bit word, other widths whole to a byte. With `axis` 1 a group is a row of the
    regrouped matrix, with 0 a column.
    """

    weight_bits: int = 4
    group: int = 64
    axis: int = 1
    scale_dtype: str = "bfloat16"

    @property
    def name(self) -> str:
        """For the report."""
        return f"hqq {self.weight_bits}-bit g{self.group}"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return float(self.weight_bits)

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight, scales, zero points."""
        groups = out_features * in_features // self.group
        rows, columns = (groups, self.group) if self.axis == 1 else (self.group, groups)
        per_word, dtype = (10, "int32") if self.weight_bits == 3 else (8 // self.weight_bits, "uint8")
        scales = (groups, 1) if self.axis == 1 else (1, groups)
        return (
            Array(".W_q", (ceil_div(rows, per_word), columns), dtype),
            Array(".scale", scales, self.scale_dtype),
            Array(".zero", scales, self.scale_dtype),
        )

    def check(self, out_features: int, in_features: int) -> None:
        """Groups divide the elements."""
        _refuse_bits("hqq", self.weight_bits, (1, 2, 3, 4, 8))
        refuse_unless_divides(self.name, self.group, out_features * in_features, "a number of weights")


def _refuse_bits(what: str, bits: int, known: tuple[int, ...]) -> None:
    if bits not in known:
        raise InputError(f"{what} has no {bits}-bit weights; it has {', '.join(map(str, known))}")


def _refuse_group(what: str, group: int) -> None:
    if group != -1 and group < 1:
        raise InputError(f"{what} group size {group} cannot be; it is positive, or -1 for one group")
