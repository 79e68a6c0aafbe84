"""Kimi delta attention: a delta rule whose decay is per channel, and what its recurrence keeps per sequence.

Names and shapes: transformers `models/kimi_linear`, `models/bailing_hybrid`; the division over ranks is that of vLLM's
`layers/kda.py`.
"""

from dataclasses import dataclass

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._delta import state_cache
from moesize.model.spec import Cache, Kind, Role, Split, State, Tensor

ROLE, COLUMN = Role.LINEAR_ATTENTION, Split.COLUMN


@dataclass(frozen=True, slots=True)
class Kda:
    """Dimensions of Kimi delta attention: `heads` states of `head_dim` × `head_dim`.

    Forget gate and output gate are low-rank pairs (`f_a_proj`, `f_b_proj`) or one whole matrix (`f_proj`) each.
    """

    heads: int
    head_dim: int
    kernel: int
    low_rank_forget: bool = True
    low_rank_gate: bool = True

    @property
    def width(self) -> int:
        """Width of all queries, of all keys, and of all values."""
        return self.heads * self.head_dim


def kda(
    prefix: str, layers: tuple[int, ...], dims: Kda, *, hidden_size: int, decay_shape: tuple[int, ...]
) -> list[Tensor]:
    """Projections, three short convolutions, gates and norm of `layers`; `decay_shape` is how `A_log` is stored."""
    width, whole = dims.width, blocks.heads(dims.heads, dims.head_dim)
    per_head = blocks.heads(dims.heads, 1)
    # Where it is padded or its heads are no outer dimension, every rank is counted with all of these few numbers.
    decay_split = COLUMN if decay_shape == (dims.heads,) else Split.REPLICATED
    return [
        *(
            tensor
            for name in ("q", "k", "v")
            for tensor in (
                *blocks.linear(
                    f"{prefix}.{name}_proj", width, hidden_size, ROLE, layers, split=COLUMN, segments=whole
                ),
                Tensor(
                    f"{prefix}.{name}_conv1d.weight", (width, 1, dims.kernel), ROLE, Kind.CONV, layers,
                    split=COLUMN, segments=whole,
                ),
            )
        ),
        *_gate(f"{prefix}.f", layers, dims, hidden_size, low_rank=dims.low_rank_forget),
        *_gate(f"{prefix}.g", layers, dims, hidden_size, low_rank=dims.low_rank_gate),
        *blocks.linear(f"{prefix}.b_proj", dims.heads, hidden_size, ROLE, layers, split=COLUMN, segments=per_head),
        blocks.vector(f"{prefix}.dt_bias", width, ROLE, layers, split=COLUMN, segments=whole),
        Tensor(f"{prefix}.A_log", decay_shape, ROLE, Kind.VECTOR, layers, split=decay_split),
        *blocks.norm(f"{prefix}.o_norm", dims.head_dim, layers),
        *blocks.linear(f"{prefix}.o_proj", hidden_size, width, ROLE, layers, split=Split.ROW, segments=whole),
    ]  # fmt: skip


def kda_cache(layers: tuple[int, ...], dims: Kda) -> list[Cache]:
    """What `layers` keep per sequence: the last inputs of the convolutions and one float32 matrix per head."""
    recurrent = State("recurrent", (dims.heads, dims.head_dim, dims.head_dim), "float32")
    return state_cache(layers, "kda", State("conv", (3 * dims.width, dims.kernel)), recurrent)


def _gate(prefix: str, layers: tuple[int, ...], dims: Kda, hidden_size: int, *, low_rank: bool) -> list[Tensor]:
    whole = blocks.heads(dims.heads, dims.head_dim)
    if not low_rank:
        return blocks.linear(
            f"{prefix}_proj", dims.width, hidden_size, ROLE, layers, split=COLUMN, segments=whole
        )  # fmt: skip
    return [
        *blocks.linear(f"{prefix}_a_proj", dims.head_dim, hidden_size, ROLE, layers),
        *blocks.linear(f"{prefix}_b_proj", dims.width, dims.head_dim, ROLE, layers, split=COLUMN, segments=whole),
    ]
