"""GGUF's tensor types as weight formats, and what stands in where rows are no whole blocks.

Block sizes are `moesize.model.ggml`'s; fall-backs: `tensor_type_fallback` in
https://github.com/ggml-org/llama.cpp/blob/master/src/llama-quant.cpp.
"""

from dataclasses import dataclass

from moesize.errors import InputError
from moesize.model.ggml import BY_NAME
from moesize.quant.formats import Array, Layout, refuse_unless_divides

_FALLBACK = {
    "q2_k": "q4_0", "q3_k": "q4_0", "tq1_0": "q4_0", "tq2_0": "q4_0", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ggml(Layout):
    """A matrix of one ggml type, row by row."""

    type: str

    @property
    def name(self) -> str:
        """The type."""
        return self.type

    @property
    def bits(self) -> float:
        """Of a weight, scales included: blocks are all there is."""
        known = BY_NAME[self.type]
        return 8 * known.block_bytes / known.block

    def arrays(self, out_features: int, in_features: int) -> tuple[Array, ...]:
        """The rows, in blocks."""
        return (Array(".weight", (out_features, BY_NAME[self.type].n_bytes(in_features)), "uint8"),)

    def check(self, out_features: int, in_features: int) -> None:  # noqa: ARG002
        """Rows are whole blocks.

        Raises:
            InputError: no such type, or rows it cannot store.
        """
        if self.type not in BY_NAME:
            raise InputError(f"GGUF has no type {self.type}; it has {', '.join(BY_NAME)}")
        refuse_unless_divides(
            f"GGUF type {self.type}", BY_NAME[self.type].block, in_features, "rows of a number of weights"
        )


def is_blocked(dtype: str) -> bool:
    """Whether a tensor's dtype is a type of ggml's blocks."""
    known = BY_NAME.get(dtype)
    return known is not None and known.block > 1


def fitting(type_name: str, in_features: int) -> str:
    """The type that stores rows of `in_features` where `type_name` was wanted."""
    if in_features % BY_NAME[type_name].block == 0:
        return type_name
    other = _FALLBACK.get(type_name, "iq4_nl" if type_name.startswith("iq") else "float16")
    return other if in_features % BY_NAME[other].block == 0 else "float16"
