"""What the caching allocator of torch adds to weights: a large matrix lies in whole pages and keeps a small rest.

"Model loading took" counts the blocks tensors lie in, not their bytes. A block of 10 MiB and more is cut from whole
2 MiB pages, and a rest of at most 1 MiB is not split off it. Source: pytorch `c10/cuda/CUDACachingAllocator.cpp`
(kRoundLarge, kMinLargeAlloc, should_split). Smaller tensors share segments, and what is left over there is not counted.
"""

from collections.abc import Iterable

from moesize.units import MIB, round_up

SOURCE = "https://github.com/pytorch/pytorch/blob/v2.9.1/c10/cuda/CUDACachingAllocator.cpp"
_LARGE_BYTES = 10 * MIB
_PAGE_BYTES = 2 * MIB
_UNSPLIT_BYTES = MIB
#: Projections vLLM holds in one matrix with the one they stand behind (`packed_modules_mapping` of its classes).
_FUSED = {
    "k_proj": "q_proj",
    "v_proj": "q_proj",
    "up_proj": "gate_proj",
    "w3": "w1",
    "kv_a_proj_with_mqa": "q_a_proj",
    "in_proj_z": "in_proj_qkv",
}


def block_of(name: str) -> str:
    """The matrix a tensor is held in: its own, or that of the projections it is fused with, all experts together."""
    parts = [part for part in name.split(".") if part != "{expert}"]
    return ".".join(_FUSED.get(part, part) for part in parts)


def rounding_bytes(blocks: Iterable[tuple[int, int]]) -> int:
    """Bytes blocks of (size, how many) take beyond their sizes."""
    return sum(_rest(size) * count for size, count in blocks)


def _rest(n_bytes: int) -> int:
    if n_bytes < _LARGE_BYTES:
        return 0
    rest = round_up(n_bytes, _PAGE_BYTES) - n_bytes
    return rest if rest <= _UNSPLIT_BYTES else 0
