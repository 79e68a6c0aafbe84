"""Linear attention with a gated delta rule, and what its recurrence keeps per sequence.

Names and shapes: transformers `models/qwen3_next` and `models/qwen3_5`; the division over ranks is that of vLLM's
`layers/mamba/gdn_linear_attn.py`.
"""

from dataclasses import dataclass

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import Cache, CacheKind, Kind, Role, Segment, Split, State, Tensor


@dataclass(frozen=True, slots=True)
class GatedDelta:
    """Dimensions of a gated delta rule layer: `value_heads` states of `key_dim` × `value_dim`."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int

    @property
    def keys(self) -> int:
        """Width of all queries, and of all keys."""
        return self.key_heads * self.key_dim

    @property
    def values(self) -> int:
        """Width of all values."""
        return self.value_heads * self.value_dim

    @property
    def qkv_segments(self) -> tuple[Segment, ...]:
        """The heads of queries, keys and values side by side."""
        key, value = Segment(self.keys, self.key_heads), Segment(self.values, self.value_heads)
        return (key, key, value)


def gated_delta_of(config: Fields) -> GatedDelta:
    """The `linear_*` keys.

    Raises:
        InputError: value heads that are no multiple of the key heads.
    """
    key_heads, value_heads = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    if value_heads % key_heads:
        raise InputError(
            f"{config.where}: linear_num_value_heads {value_heads} is no multiple of linear_num_key_heads {key_heads}"
        )
    return GatedDelta(
        key_heads=key_heads,
        value_heads=value_heads,
        key_dim=config.count("linear_key_head_dim"),
        value_dim=config.count("linear_value_head_dim"),
        kernel=config.count("linear_conv_kernel_dim"),
    )


def gated_delta(
    prefix: str, layers: tuple[int, ...], dims: GatedDelta, *, hidden_size: int, fused: bool
) -> list[Tensor]:
    """Projections, short convolution, decay and gated norm of `layers`.

    `fused`: queries, keys, values and gate in one matrix that runs key head by key head (Qwen3-Next), not four.
    """
    role, column = Role.LINEAR_ATTENTION, Split.COLUMN
    conv = 2 * dims.keys + dims.values
    per_value = blocks.heads(dims.value_heads, dims.value_dim)
    per_head = blocks.heads(dims.value_heads, 1)
    projections: tuple[tuple[str, int, tuple[Segment, ...]], ...]
    if fused:
        projections = (
            ("in_proj_qkvz", conv + dims.values, (Segment(conv + dims.values, dims.key_heads),)),
            ("in_proj_ba", 2 * dims.value_heads, (Segment(2 * dims.value_heads, dims.key_heads),)),
        )
    else:
        projections = (
            ("in_proj_qkv", conv, dims.qkv_segments),
            ("in_proj_z", dims.values, per_value),
            ("in_proj_b", dims.value_heads, per_head),
            ("in_proj_a", dims.value_heads, per_head),
        )
    tensors = [
        tensor
        for name, rows, segments in projections
        for tensor in blocks.linear(
            f"{prefix}.{name}", rows, hidden_size, role, layers, split=column, segments=segments
        )
    ]  # fmt: skip
    return [
        *tensors,
        Tensor(
            f"{prefix}.conv1d.weight", (conv, 1, dims.kernel), role, Kind.CONV, layers,
            split=column, segments=dims.qkv_segments,
        ),
        blocks.vector(f"{prefix}.dt_bias", dims.value_heads, role, layers, split=column, segments=per_head),
        blocks.vector(f"{prefix}.A_log", dims.value_heads, role, layers, split=column, segments=per_head),
        *blocks.norm(f"{prefix}.norm", dims.value_dim, layers),
        *blocks.linear(
            f"{prefix}.out_proj", hidden_size, dims.values, role, layers, split=Split.ROW, segments=per_value
        ),
    ]  # fmt: skip


def gated_delta_cache(
    layers: tuple[int, ...], dims: GatedDelta, *, dtype: str, configured: str | None = None
) -> list[Cache]:
    """What `layers` keep per sequence: the last inputs of the convolution and one matrix per value head."""
    conv = State("conv", (2 * dims.keys + dims.values, dims.kernel))
    recurrent = State("recurrent", (dims.value_heads, dims.key_dim, dims.value_dim), dtype, configured_dtype=configured)
    return state_cache(layers, "gdn", conv, recurrent)


def state_cache(layers: tuple[int, ...], mixer: str, *states: State) -> list[Cache]:
    """The states of `layers`; nothing when there are no such layers."""
    return [Cache(CacheKind.STATE, layers, states=states, mixer=mixer)] if layers else []
