"""Selective state space layers, Mamba-1 and Mamba-2, and what they keep per sequence.

Names and shapes: transformers `models/jamba`, `models/bamba`, `models/nemotron_h`; the division over ranks is that of
vLLM's `layers/mamba/mamba_mixer.py` and `mamba_mixer2.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._delta import state_cache
from moesize.model.fields import Fields
from moesize.model.spec import Cache, Kind, Role, Segment, Split, State, Tensor

ROLE = Role.STATE_SPACE


@dataclass(frozen=True, slots=True)
class Mamba1:
    """Dimensions of a Mamba-1 layer: `inner` channels with `state` values each."""

    inner: int
    state: int
    kernel: int
    dt_rank: int
    conv_bias: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Mamba2:
    """Dimensions of a Mamba-2 layer: `heads` states of `head_dim` × `state`, `groups` of heads share B and C."""

    heads: int
    head_dim: int
    groups: int
    state: int
    kernel: int
    conv_bias: bool = True
    bias: bool = False

    @property
    def inner(self) -> int:
        """Width of the layer."""
        return self.heads * self.head_dim

    @property
    def grouped(self) -> int:
        """Width of B, and of C."""
        return self.groups * self.state

    @property
    def conv(self) -> int:
        """Channels of the short convolution: the input, B and C."""
        return self.inner + 2 * self.grouped

    @property
    def conv_segments(self) -> tuple[Segment, ...]:
        """The heads of the input, then the groups of B and C; a single group is copied to every rank."""
        group = Segment(self.grouped, self.groups, replicable=True)
        return (Segment(self.inner, self.heads), group, group)


def dt_rank_of(config: Fields, hidden_size: int, *keys: str) -> int:
    """The rank of the time step projection; `auto` or nothing is a sixteenth of the width, rounded up."""
    if any(config.values.get(key) == "auto" for key in keys):
        return -(-hidden_size // 16)
    return config.count(*keys, default=-(-hidden_size // 16))


def check_width(config: Fields, dims: Mamba2, hidden_size: int, expand: int) -> None:
    """Check that heads fill the expanded width.

    Raises:
        InputError: they do not.
    """
    if dims.inner != hidden_size * expand:
        raise InputError(
            f"{config.where}: {dims.heads} Mamba heads of {dims.head_dim} are not {expand} times the hidden_size "
            f"{hidden_size}"
        )


def mamba1(
    prefix: str, layers: tuple[int, ...], dims: Mamba1, *, hidden_size: int, norms: Sequence[str] = ()
) -> list[Tensor]:
    """Projections, convolution and state matrices of `layers`; `norms` of time step, B and C where they have any."""
    inner, column, row = dims.inner, Split.COLUMN, Split.ROW
    both = (Segment(inner, inner), Segment(inner, inner))
    widths = (dims.dt_rank, dims.state, dims.state)
    return [
        *blocks.linear(
            f"{prefix}.in_proj", 2 * inner, hidden_size, ROLE, layers, split=column, segments=both, bias=dims.bias
        ),
        *_conv(f"{prefix}.conv1d", inner, dims.kernel, layers, (Segment(inner, inner),), bias=dims.conv_bias),
        *blocks.linear(f"{prefix}.x_proj", dims.dt_rank + 2 * dims.state, inner, ROLE, layers, split=row),
        *blocks.linear(f"{prefix}.dt_proj", inner, dims.dt_rank, ROLE, layers, split=column, bias=True),
        Tensor(f"{prefix}.A_log", (inner, dims.state), ROLE, Kind.PARAMETER, layers, split=column),
        blocks.vector(f"{prefix}.D", inner, ROLE, layers, split=column),
        *blocks.linear(f"{prefix}.out_proj", hidden_size, inner, ROLE, layers, split=row, bias=dims.bias),
        *(
            tensor
            for name, width in zip(norms, widths, strict=False)
            for tensor in blocks.norm(f"{prefix}.{name}", width, layers)
        ),
    ]  # fmt: skip


def mamba2(
    prefix: str, layers: tuple[int, ...], dims: Mamba2, *, hidden_size: int, gated_norm: bool = True
) -> list[Tensor]:
    """Projections, convolution, decays and gated norm of `layers`."""
    per_head = blocks.heads(dims.heads, 1)
    whole_heads = blocks.heads(dims.heads, dims.head_dim)
    column = Split.COLUMN
    tensors = [
        # The gate comes first, then what the convolution sees, then one time step per head.
        *blocks.linear(
            f"{prefix}.in_proj", dims.inner + dims.conv + dims.heads, hidden_size, ROLE, layers,
            split=column, segments=(*whole_heads, *dims.conv_segments, *per_head), bias=dims.bias,
        ),
        *_conv(f"{prefix}.conv1d", dims.conv, dims.kernel, layers, dims.conv_segments, bias=dims.conv_bias),
        *(
            blocks.vector(f"{prefix}.{name}", dims.heads, ROLE, layers, split=column, segments=per_head)
            for name in ("dt_bias", "A_log", "D")
        ),
        *blocks.linear(
            f"{prefix}.out_proj", hidden_size, dims.inner, ROLE, layers,
            split=Split.ROW, segments=whole_heads, bias=dims.bias,
        ),
    ]  # fmt: skip
    if gated_norm:
        tensors.append(
            blocks.vector(f"{prefix}.norm.weight", dims.inner, Role.NORM, layers, split=column, segments=whole_heads)
        )
    return tensors


def mamba1_cache(layers: tuple[int, ...], dims: Mamba1, *, dtype: str) -> list[Cache]:
    """What `layers` keep per sequence: the last inputs of the convolution and `state` values per channel."""
    conv, recurrent = State("conv", (dims.inner, dims.kernel)), State("recurrent", (dims.inner, dims.state), dtype)
    return state_cache(layers, "mamba1", conv, recurrent)


def mamba2_cache(layers: tuple[int, ...], dims: Mamba2, *, dtype: str, configured: str | None = None) -> list[Cache]:
    """What `layers` keep per sequence: the last inputs of the convolution and one matrix per head."""
    recurrent = State("recurrent", (dims.heads, dims.head_dim, dims.state), dtype, configured_dtype=configured)
    # One group of B and C is whole on every rank; several are divided with the heads.
    groups = State("conv_groups", (2 * dims.grouped, dims.kernel), split_dim=None if dims.groups == 1 else 0)
    return state_cache(layers, "mamba2", State("conv", (dims.inner, dims.kernel)), groups, recurrent)


def _conv(
    name: str, channels: int, kernel: int, layers: tuple[int, ...], segments: tuple[Segment, ...], *, bias: bool
) -> list[Tensor]:
    column = Split.COLUMN
    weight = Tensor(
        f"{name}.weight", (channels, 1, kernel), ROLE, Kind.CONV, layers, split=column, segments=segments
    )  # fmt: skip
    if not bias:
        return [weight]
    return [weight, blocks.vector(f"{name}.bias", channels, ROLE, layers, split=column, segments=segments)]
