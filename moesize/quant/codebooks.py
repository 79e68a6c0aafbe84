"""Formats with tables: bitsandbytes, AQLM, EXL2 and EXL3.

Layouts: bitsandbytes `functional.QuantState` (https://github.com/bitsandbytes-foundation/bitsandbytes), AQLM
(https://github.com/Vahe1994/AQLM), exllamav2 and exllamav3 `doc/convert.md` (https://github.com/turboderp-org/exllamav3).
"""

from dataclasses import dataclass

from moesize.errors import InputError
from moesize.quant.formats import Array, Layout, refuse_unless_divides
from moesize.units import ceil_div

#: What both exllama converters give the head unless told otherwise.
EXL_HEAD_BITS = 6.0
#: Block sizes bitsandbytes' kernels exist for.
BNB_BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class BnbInt8(Layout):
    """LLM.int8: one byte per weight, a float32 maximum per row, a byte that names the memory layout."""

    @property
    def name(self) -> str:
        """For the report."""
        return "bnb int8"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return 8.0

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Weight, row maxima, layout."""
        return (
            Array(".weight", (out_features, in_features), "int8"),
            Array(".SCB", (out_features,), "float32"),
            Array(".weight_format", (), "uint8"),
        )


@dataclass(frozen=True, slots=True)
class Bnb4Bit(Layout):
    """NF4 or FP4: two weights to a byte and a maximum per block of the flattened matrix, itself quantised if `nested`.

    The JSON text of the quantisation state (`quant_state.bitsandbytes__nf4`) depends on the shape; a nested state also
    prints an offset of up to twenty digits, which is counted as twenty.
    """

    kind: str = "nf4"
    nested: bool = False
    block: int = 64
    dtype: str = "bfloat16"

    @property
    def name(self) -> str:
        """For the report."""
        return f"bnb {self.kind}" + (" double quant" if self.nested else "")

    @property
    def bits(self) -> float:
        """Of a weight."""
        return 4.0

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Packed weight, block maxima, tables, and the state's JSON."""
        weights = out_features * in_features
        blocks = ceil_div(weights, self.block)
        state = f'{{"quant_type": "{self.kind}", "blocksize": {self.block}, "dtype": "{self.dtype}", '
        state += f'"shape": [{out_features}, {in_features}]'
        nested = '"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": '
        state_size = len(state) + 1 + (len(nested) + 2 + 20 if self.nested else 0)
        arrays = [
            Array(".weight", (ceil_div(weights, 2), 1), "uint8"),
            Array(".weight.absmax", (blocks,), "uint8" if self.nested else "float32"),
            Array(".weight.quant_map", (16,), "float32"),
        ]
        if self.nested:
            arrays += [
                Array(".weight.nested_absmax", (ceil_div(blocks, 256),), "float32"),
                Array(".weight.nested_quant_map", (256,), "float32"),
            ]
        arrays.append(Array(f".weight.quant_state.bitsandbytes__{self.kind}", (state_size,), "uint8"))
        return tuple(arrays)

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Block sizes are those of the kernels."""
        if self.block not in BNB_BLOCKS:
            raise InputError(f"bitsandbytes has no block size {self.block}; it has {', '.join(map(str, BNB_BLOCKS))}")


@dataclass(frozen=True, slots=True)
class Aqlm(Layout):
    """AQLM: groups of `in_group` weights as sums of `codebooks` entries, a float16 scale per output.

    An entry is named by `code_bits` bits. The tables belong to each matrix: one 16-bit book of 8 weights is 1 MiB.
    """

    codebooks: int = 1
    code_bits: int = 16
    in_group: int = 8

    @property
    def name(self) -> str:
        """For the report, as AQLM writes it."""
        return f"aqlm {self.codebooks}x{self.code_bits}g{self.in_group}"

    @property
    def bits(self) -> float:
        """Of a weight."""
        return self.codebooks * self.code_bits / self.in_group

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Codes, codebooks, scales."""
        dtype = "int8" if self.code_bits <= 8 else "int16"
        return (
            Array(".codes", (out_features, in_features // self.in_group, self.codebooks), dtype),
            Array(".codebooks", (self.codebooks, 2**self.code_bits, 1, self.in_group), "float16"),
            Array(".scales", (out_features, 1, 1, 1), "float16"),
        )

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Groups divide the inputs; codes are at most 16 bits."""
        if not 1 <= self.code_bits <= 16:
            raise InputError(f"aqlm has no codes of {self.code_bits} bits; they have 1 to 16")
        refuse_unless_divides(self.name, self.in_group, in_features, "an input dimension")


@dataclass(frozen=True, slots=True)
class Exl2(Layout):
    """EXL2 at an average of `target` bits per weight, scales included: the converter mixes widths to meet it."""

    target: float

    @property
    def name(self) -> str:
        """For the report."""
        return f"exl2 {self.target:g}bpw"

    @property
    def bits(self) -> float:
        """The target."""
        return self.target

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """One array of the target's size; its inner mix is the converter's."""
        return (Array(".q_weight", (_mean_bytes(out_features * in_features, self.target),), "uint8"),)

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """What the converter accepts."""
        if not 2 <= self.target <= 8.5:
            raise InputError(f"exl2 has no {self.target:g} bits per weight; it has 2 to 8.5")


@dataclass(frozen=True, slots=True)
class Exl3(Layout):
    """EXL3: a trellis of `target` bits per weight and two float16 vectors; a target between whole bits is a mean."""

    target: float

    @property
    def name(self) -> str:
        """For the report."""
        return f"exl3 {self.target:g}bpw"

    @property
    def bits(self) -> float:
        """The target."""
        return self.target

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """Trellis, input and output vectors."""
        whole = float(self.target).is_integer()
        tiles = (in_features // 16, out_features // 16, 16 * int(self.target))
        trellis = (
            Array(".trellis", tiles, "int16")
            if whole
            else Array(".trellis", (_mean_bytes(out_features * in_features, self.target),), "uint8")
        )
        return trellis, Array(".suh", (in_features,), "float16"), Array(".svh", (out_features,), "float16")

    def check(self, out_features: int, in_features: int) -> None:
        """Tiles are 16 by 16."""
        if not 1 <= self.target <= 8:
            raise InputError(f"exl3 has no {self.target:g} bits per weight; it has 1 to 8")
        refuse_unless_divides(self.name, 16, in_features, "an input dimension")
        refuse_unless_divides(self.name, 16, out_features, "an output dimension")


def _mean_bytes(weights: int, bits: float) -> int:
    # In thousandths of a bit, so that the result is an exact integer however large the matrix is.
    return ceil_div(weights * round(bits * 1000), 8000)
