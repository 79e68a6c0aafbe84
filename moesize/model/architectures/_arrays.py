"""Single arrays under the names checkpoints give them; `{layer}` and `{expert}` are filled in where one repeats."""

from moesize.errors import InputError
from moesize.model.spec import Kind, Role, Segment, Split, Tensor

Layers = tuple[int, ...] | None


def linear(
    name: str,
    out_features: int,
    in_features: int,
    role: Role,
    layers: Layers,
    *,
    split: Split = Split.REPLICATED,
    segments: tuple[Segment, ...] = (),
    bias: bool = False,
    transposed: bool = False,
    dtype: str | None = None,
) -> list[Tensor]:
    """A matrix `name.weight` of `[out, in]` (stored `[in, out]` when transposed), and its bias."""
    shape = (in_features, out_features) if transposed else (out_features, in_features)
    tensors = [
        Tensor(
            f"{name}.weight", shape, role, Kind.LINEAR, layers,
            split=split, segments=segments, transposed=transposed, dtype=dtype,
        )
    ]  # fmt: skip
    if bias:
        # The bias of a row-split matrix is added once, after the sum over ranks: every rank holds all of it.
        along = split if split is Split.COLUMN else Split.REPLICATED
        tensors.append(vector(f"{name}.bias", out_features, role, layers, split=along, segments=segments))
    return tensors


def vector(
    name: str,
    size: int,
    role: Role,
    layers: Layers,
    *,
    split: Split = Split.REPLICATED,
    segments: tuple[Segment, ...] = (),
    dtype: str | None = None,
) -> Tensor:
    """A one-dimensional array under its full name."""
    segments = segments if split is Split.COLUMN else ()
    return Tensor(name, (size,), role, Kind.VECTOR, layers, split=split, segments=segments, dtype=dtype)


def norm(name: str, size: int, layers: Layers, *, bias: bool = False) -> list[Tensor]:
    """A normalisation `name.weight`, with `name.bias` for a LayerNorm that has one."""
    tensors = [vector(f"{name}.weight", size, Role.NORM, layers)]
    if bias:
        tensors.append(vector(f"{name}.bias", size, Role.NORM, layers))
    return tensors


def embedding(name: str, rows: int, width: int) -> Tensor:
    """The input embedding."""
    return Tensor(name, (rows, width), Role.EMBEDDING, Kind.EMBEDDING, split=Split.VOCAB)


def lm_head(name: str, rows: int, width: int, *, tied_to: str | None = None, bias: bool = False) -> list[Tensor]:
    """The output head, as its own matrix or as the embedding's."""
    head = Tensor(name, (rows, width), Role.LM_HEAD, Kind.LINEAR, split=Split.VOCAB, tied_to=tied_to)
    if not bias:
        return [head]
    side = Tensor(name.replace(".weight", ".bias"), (rows,), Role.LM_HEAD, Kind.VECTOR, split=Split.VOCAB)
    return [head, side]


def heads(units: int, width: int, *, replicable: bool = False) -> tuple[Segment, ...]:
    """The segments of a split dimension that is `units` heads of `width`."""
    return (Segment(units * width, units, replicable),)


def fused_qkv_segments(num_heads: int, num_kv_heads: int, head_dim: int) -> tuple[Segment, ...]:
    """The segments of a fused query-key-value matrix: queries, then keys, then values."""
    kv = Segment(num_kv_heads * head_dim, num_kv_heads, replicable=True)
    return (Segment(num_heads * head_dim, num_heads), kv, kv)


def expert_matrix(
    name: str,
    out_features: int,
    in_features: int,
    layers: tuple[int, ...],
    experts: int,
    per_token: int,
    split: Split,
    *,
    transposed: bool = False,
) -> Tensor:
    """One matrix of every routed expert; stacked in the checkpoint when `name` has no `{expert}`.

    Raises:
        InputError: more experts per token than experts.
    """
    if per_token > experts:
        raise InputError(f"{name}: {per_token} experts per token of {experts} experts cannot be")
    shape = (in_features, out_features) if transposed else (out_features, in_features)
    return Tensor(
        name, shape, Role.ROUTED_EXPERT, Kind.LINEAR, layers,
        experts=experts, active_experts=per_token, split=split, transposed=transposed,
    )  # fmt: skip


def router(name: str, experts: int, hidden_size: int, layers: tuple[int, ...], *, bias: bool = False) -> list[Tensor]:
    """The router: one row of scores per expert."""
    return linear(name, experts, hidden_size, Role.ROUTER, layers, bias=bias)
