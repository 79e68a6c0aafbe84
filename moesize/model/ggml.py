"""ggml's types: how many elements a block has and how many bytes it takes, and the file types that are mixes of them.

From `GGML_QUANT_SIZES` and `LlamaFileType` of https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py.
"""

from typing import Final, NamedTuple


class GgmlType(NamedTuple):
    """A type: `block_bytes` for every `block` elements of a row."""

    name: str
    block: int
    block_bytes: int

    def n_bytes(self, elements: int) -> int:
        """Bytes of `elements` in whole blocks."""
        return elements // self.block * self.block_bytes


_PLAIN: Final = (
    (0, "float32", 4), (1, "float16", 2), (24, "int8", 1), (25, "int16", 2), (26, "int32", 4), (27, "int64", 8),
    (28, "float64", 8), (30, "bfloat16", 2),
)  # fmt: skip
_BLOCKS: Final = (
    (2, "q4_0", 32, 18), (3, "q4_1", 32, 20), (6, "q5_0", 32, 22), (7, "q5_1", 32, 24), (8, "q8_0", 32, 34),
    (10, "q2_k", 256, 84), (11, "q3_k", 256, 110), (12, "q4_k", 256, 144), (13, "q5_k", 256, 176),
    (14, "q6_k", 256, 210), (16, "iq2_xxs", 256, 66), (17, "iq2_xs", 256, 74),
    (18, "iq3_xxs", 256, 98), (19, "iq1_s", 256, 50), (20, "iq4_nl", 32, 18), (21, "iq3_s", 256, 110),
    (22, "iq2_s", 256, 82), (23, "iq4_xs", 256, 136), (29, "iq1_m", 256, 56), (34, "tq1_0", 256, 54),
    (35, "tq2_0", 256, 66), (39, "mxfp4", 32, 17), (40, "nvfp4", 64, 36), (41, "q1_0", 128, 18),
)  # fmt: skip

#: By the number a file writes; names are those of `units.DTYPE_BYTES` for plain types, ggml's in lower case otherwise.
TYPES: Final[dict[int, GgmlType]] = {
    **{number: GgmlType(name, 1, size) for number, name, size in _PLAIN},
    **{number: GgmlType(name, block, size) for number, name, block, size in _BLOCKS},
}
#: By name.
BY_NAME: Final[dict[str, GgmlType]] = {one.name: one for one in TYPES.values()}

#: `general.file_type`: the mix a file was written as.
FILE_TYPES: Final[dict[int, str]] = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m",
    13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 19: "iq2_xxs", 20: "iq2_xs",
    21: "q2_k_s", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 27: "iq3_m", 28: "iq2_s",
    29: "iq2_m", 30: "iq4_xs", 31: "iq1_m", 32: "bf16", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4_moe", 39: "nvfp4",
    40: "q1_0",
}  # fmt: skip
