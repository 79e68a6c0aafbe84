"""Blocks of decoders whose layers are partly dense and partly mixtures of experts."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import Kind, Role, Split, Tensor

GLU = ("gate_proj", "up_proj", "down_proj")


def mixture(
    prefix: str,
    layers: tuple[int, ...],
    *,
    hidden_size: int,
    intermediate_size: int,
    experts: int,
    per_token: int,
    shared_intermediate_size: int = 0,
    shared: str = "shared_experts",
    gate: str = "gate",
    gate_dtype: str | None = None,
    correction: str = "",
    names: Sequence[str] = GLU,
) -> list[Tensor]:
    """Router, routed experts and shared experts of `layers`, the last two gated MLPs.

    `prefix.gate.weight`, `prefix.experts.{expert}.gate_proj.weight` …, `prefix.shared_experts.gate_proj.weight` … for a
    `shared_intermediate_size` above 0, and the score correction `prefix.correction` where it has a name.
    """
    tensors = [
        *blocks.linear(f"{prefix}.{gate}", experts, hidden_size, Role.ROUTER, layers, dtype=gate_dtype),
        *blocks.glu_experts(
            f"{prefix}.experts", layers,
            hidden_size=hidden_size, intermediate_size=intermediate_size,
            experts=experts, per_token=per_token, names=names,
        ),
    ]  # fmt: skip
    if correction:
        tensors.append(score_correction(f"{prefix}.{correction}", (experts,), layers))
    if shared_intermediate_size:
        tensors += blocks.glu_mlp(
            f"{prefix}.{shared}", layers,
            hidden_size=hidden_size, intermediate_size=shared_intermediate_size, role=Role.SHARED_EXPERT,
        )  # fmt: skip
    return tensors


def stacked_experts(tensors: Iterable[Tensor], *, transposed: bool) -> list[Tensor]:
    """`tensors` with the matrices of each expert replaced by the stacked arrays newer checkpoints hold.

    `experts.gate_up_proj` has gate and up projections of all experts, `experts.down_proj` the third matrix; they are
    `[in, out]` per expert when `transposed`.
    """
    stacked: list[Tensor] = []
    for tensor in tensors:
        base, is_expert, name = tensor.name.partition(".{expert}.")
        if not is_expert:
            stacked.append(tensor)
        elif name != "up_proj.weight":
            rows, width = tensor.shape
            fused = name == "gate_proj.weight"
            rows = 2 * rows if fused else rows
            shape = (width, rows) if transposed else (rows, width)
            full = f"{base}.{'gate_up_proj' if fused else 'down_proj'}"
            stacked.append(replace(tensor, name=full, shape=shape, transposed=transposed))
    return stacked


def score_correction(
    name: str, shape: tuple[int, ...], layers: tuple[int, ...], *, buffer: bool = True, dtype: str | None = "float32"
) -> Tensor:
    """The bias that balances experts: added to the router's scores, kept in float32 by engines."""
    return Tensor(name, shape, Role.ROUTER, Kind.VECTOR, layers, dtype=dtype, buffer=buffer)


def head_norms(
    prefix: str, layers: tuple[int, ...], head_dim: int, names: Sequence[str] = ("q_norm", "k_norm")
) -> list[Tensor]:
    """Normalisation of each query and key head, one weight for all heads."""
    return [tensor for name in names for tensor in blocks.norm(f"{prefix}.{name}", head_dim, layers)]


def wide_norms(
    prefix: str, layers: tuple[int, ...], *, num_heads: int, num_kv_heads: int, head_dim: int, sharded: bool = False
) -> list[Tensor]:
    """One norm over all query heads and one over all key heads; `sharded` where engines divide them with the heads."""
    split = Split.COLUMN if sharded else Split.REPLICATED
    query, key = blocks.heads(num_heads, head_dim), blocks.heads(num_kv_heads, head_dim, replicable=True)
    widths = (("q_norm", num_heads * head_dim, query), ("k_norm", num_kv_heads * head_dim, key))
    return [
        blocks.vector(f"{prefix}.{name}.weight", size, Role.NORM, layers, split=split, segments=segments)
        for name, size, segments in widths
    ]


def first_dense(num_layers: int, dense: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dense layers and the mixture layers, when the first `dense` are dense."""
    dense = min(dense, num_layers)
    return tuple(range(dense)), tuple(range(dense, num_layers))


def uniform(config: Fields, *keys: str) -> int:
    """A count that a configuration gives once, or once per layer and always the same.

    Raises:
        InputError: no whole number, or layers that differ.
    """
    key = next((k for k in keys if config.has(k)), keys[0])
    if not isinstance(config.values.get(key), list):
        return config.count(key, minimum=0)
    values = set(config.counts(key))
    if len(values) != 1:
        raise InputError(f"{config.where}: {key} differs between layers, which this family does not have")
    return values.pop()


def refuse(config: Fields, *keys: str) -> None:
    """Check that switches of which no released model is known are off.

    Raises:
        InputError: names the first that is on.
    """
    for key in keys:
        if config.flag(key, default=False):
            raise InputError(f"{config.where}: {key} is true, and no released model of this family has that")


def where_layer(types: Sequence[str], *wanted: str) -> tuple[int, ...]:
    """The layers whose type is one of `wanted`."""
    return tuple(i for i, kind in enumerate(types) if kind in wanted)


def known_types(config: Fields, types: Sequence[str], known: Iterable[str], key: str = "layer_types") -> None:
    """Check that every layer is of a kind this family has.

    Raises:
        InputError: names the first unknown word.
    """
    allowed = tuple(known)
    for i, kind in enumerate(types):
        if kind not in allowed:
            raise InputError(
                f"{config.where}: {key} calls layer {i} {kind[:40]!r}, which this family does not have; "
                f"it has {', '.join(allowed)}"
            )


def enumerated_layers(config: Fields, key: str, num_layers: int) -> tuple[int, ...]:
    """Layers a field names by number, in a list or in one string between commas; those beyond the last are dropped."""
    value = config.values.get(key)
    if isinstance(value, str):
        numbers = [part.strip() for part in value.split(",") if part.strip()]
        if not all(part.isascii() and part.isdecimal() and len(part) < 7 for part in numbers):
            raise InputError(f"{config.where}: {key} holds something that is no number")
        named = tuple(int(part) for part in numbers)
    else:
        named = config.counts(key)
    return tuple(i for i in named if i < num_layers)


def every_nth(num_layers: int, period: int, *, regular: str, nth: str) -> tuple[str, ...]:
    """Layer types in which every `period`-th layer is `nth` and the others `regular`."""
    return tuple(nth if (i + 1) % period == 0 else regular for i in range(num_layers))


def not_loaded(tensors: Iterable[Tensor]) -> list[Tensor]:
    """`tensors` as stored in the checkpoint and left out by engines."""
    return [replace(tensor, loaded=False) for tensor in tensors]


def next_n_layers(config: Fields, num_layers: int, *, default: int = 0) -> tuple[int, ...]:
    """Indices of the next-token prediction layers, which checkpoints number after the others."""
    extra = config.count("num_nextn_predict_layers", default=default, minimum=0, maximum=1000)
    return tuple(range(num_layers, num_layers + extra))


def next_n_ends(prefix: str, layers: tuple[int, ...], *, hidden_size: int, copied_rows: int = 0) -> list[Tensor]:
    """What joins a DeepSeek-style prediction layer to the model: two norms, a projection of both streams, a final norm.

    `copied_rows` is the vocabulary where the checkpoint stores embedding and head once more, 0 where it does not.
    """
    role = Role.OTHER
    tensors = [
        *blocks.norm(f"{prefix}.enorm", hidden_size, layers),
        *blocks.norm(f"{prefix}.hnorm", hidden_size, layers),
        *blocks.linear(f"{prefix}.eh_proj", hidden_size, 2 * hidden_size, role, layers),
        *blocks.norm(f"{prefix}.shared_head.norm", hidden_size, layers),
    ]
    if copied_rows:
        tensors += [
            Tensor(f"{prefix}.embed_tokens.weight", (copied_rows, hidden_size), Role.EMBEDDING, Kind.EMBEDDING, layers),
            Tensor(f"{prefix}.shared_head.head.weight", (copied_rows, hidden_size), Role.LM_HEAD, Kind.LINEAR, layers),
        ]
    return tensors
