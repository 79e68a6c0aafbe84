"""The blocks families are made of: small functions that return tensors, caches and products under a name prefix.

Naming follows the checkpoints; `{layer}` and `{expert}` are filled in where a tensor repeats.
"""

from collections.abc import Iterable, Sequence

from moesize.errors import InputError
from moesize.model.architectures._arrays import (
    Layers,
    embedding,
    expert_matrix,
    fused_qkv_segments,
    heads,
    linear,
    lm_head,
    norm,
    router,
    vector,
)
from moesize.model.fields import Fields
from moesize.model.spec import (
    Attention,
    Cache,
    CacheKind,
    ModelSpec,
    Role,
    Rope,
    Split,
    Tensor,
)

__all__ = [
    "Layers",
    "assemble",
    "attention_products",
    "embedding",
    "ends",
    "expert_matrix",
    "fused_qkv_segments",
    "glu_experts",
    "glu_mlp",
    "gqa",
    "head_dim_of",
    "heads",
    "kv_cache",
    "linear",
    "lm_head",
    "norm",
    "plain_mlp",
    "rope_of",
    "router",
    "vector",
]


def ends(
    config: Fields,
    *,
    hidden_size: int,
    prefix: str = "model.",
    tied_by_default: bool = False,
    final_norm: str = "norm",
) -> list[Tensor]:
    """Embedding, final norm and head of a decoder named as llama names them."""
    vocab = config.count("vocab_size")
    table = f"{prefix}embed_tokens.weight"
    tied = table if config.flag("tie_word_embeddings", default=tied_by_default) else None
    return [
        embedding(table, vocab, hidden_size),
        *norm(f"{prefix}{final_norm}", hidden_size, None),
        *lm_head("lm_head.weight", vocab, hidden_size, tied_to=tied),
    ]


def gqa(
    prefix: str,
    layers: tuple[int, ...],
    *,
    hidden_size: int,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    v_head_dim: int | None = None,
    qkv_bias: bool = False,
    out_bias: bool = False,
    names: Sequence[str] = ("q_proj", "k_proj", "v_proj", "o_proj"),
) -> list[Tensor]:
    """Grouped-query attention: four matrices `prefix.q_proj` … of `num_heads` query and `num_kv_heads` KV heads."""
    v_dim = v_head_dim or head_dim
    q, k, v, o = (f"{prefix}.{name}" for name in names)
    query, value_out = heads(num_heads, head_dim), heads(num_heads, v_dim)
    key = heads(num_kv_heads, head_dim, replicable=True)
    value = heads(num_kv_heads, v_dim, replicable=True)
    role, column = Role.ATTENTION, Split.COLUMN
    return [
        *linear(q, num_heads * head_dim, hidden_size, role, layers, split=column, segments=query, bias=qkv_bias),
        *linear(k, num_kv_heads * head_dim, hidden_size, role, layers, split=column, segments=key, bias=qkv_bias),
        *linear(v, num_kv_heads * v_dim, hidden_size, role, layers, split=column, segments=value, bias=qkv_bias),
        *linear(o, hidden_size, num_heads * v_dim, role, layers, split=Split.ROW, segments=value_out, bias=out_bias),
    ]


def glu_mlp(
    prefix: str,
    layers: tuple[int, ...],
    *,
    hidden_size: int,
    intermediate_size: int,
    role: Role = Role.MLP,
    bias: bool = False,
    names: Sequence[str] = ("gate_proj", "up_proj", "down_proj"),
) -> list[Tensor]:
    """A gated MLP of three matrices."""
    gate, up, down = (f"{prefix}.{name}" for name in names)
    column = Split.COLUMN
    return [
        *linear(gate, intermediate_size, hidden_size, role, layers, split=column, bias=bias),
        *linear(up, intermediate_size, hidden_size, role, layers, split=column, bias=bias),
        *linear(down, hidden_size, intermediate_size, role, layers, split=Split.ROW, bias=bias),
    ]


def plain_mlp(
    prefix: str,
    layers: tuple[int, ...],
    *,
    hidden_size: int,
    intermediate_size: int,
    role: Role = Role.MLP,
    bias: bool = False,
    names: Sequence[str] = ("up_proj", "down_proj"),
) -> list[Tensor]:
    """An MLP of two matrices with an activation between them."""
    up, down = (f"{prefix}.{name}" for name in names)
    return [
        *linear(up, intermediate_size, hidden_size, role, layers, split=Split.COLUMN, bias=bias),
        *linear(down, hidden_size, intermediate_size, role, layers, split=Split.ROW, bias=bias),
    ]


def glu_experts(
    prefix: str,
    layers: tuple[int, ...],
    *,
    hidden_size: int,
    intermediate_size: int,
    experts: int,
    per_token: int,
    names: Sequence[str] = ("gate_proj", "up_proj", "down_proj"),
) -> list[Tensor]:
    """Routed experts of three matrices each, `prefix.{expert}.gate_proj.weight` …."""
    gate, up, down = (f"{prefix}.{{expert}}.{name}.weight" for name in names)
    return [
        expert_matrix(gate, intermediate_size, hidden_size, layers, experts, per_token, Split.COLUMN),
        expert_matrix(up, intermediate_size, hidden_size, layers, experts, per_token, Split.COLUMN),
        expert_matrix(down, hidden_size, intermediate_size, layers, experts, per_token, Split.ROW),
    ]


def kv_cache(
    layers: Iterable[int],
    *,
    num_kv_heads: int,
    head_dim: int,
    v_head_dim: int | None = None,
    window_tokens: int | None = None,
) -> list[Cache]:
    """Keys and values of `layers`, all of them or those inside a window; nothing when there are no such layers."""
    owners = tuple(layers)
    kind = CacheKind.SLIDING if window_tokens else CacheKind.FULL
    cache = Cache(kind, owners, num_kv_heads, head_dim, v_head_dim or head_dim, window_tokens)
    return [cache] if owners else []


def attention_products(
    layers: Iterable[int],
    *,
    num_heads: int,
    head_dim: int,
    v_head_dim: int | None = None,
    window_tokens: int | None = None,
) -> list[Attention]:
    """The score and value products of `layers`."""
    users = tuple(layers)
    return [Attention(users, num_heads, head_dim, v_head_dim or head_dim, window_tokens)] if users else []


def head_dim_of(config: Fields, hidden_size: int, num_heads: int) -> int:
    """`head_dim`, or hidden size over heads where the configuration leaves it out.

    Raises:
        InputError: neither is a whole number.
    """
    if config.has("head_dim"):
        return config.count("head_dim")
    if hidden_size % num_heads:
        raise InputError(f"{config.where}: hidden_size {hidden_size} is no multiple of {num_heads} attention heads")
    return hidden_size // num_heads


def rope_of(config: Fields, rotary_dim: int, *, dtype: str | None = None) -> tuple[Rope, ...]:
    """The rotary table of `max_position_embeddings` rows; longer where a yarn or linear factor stretches it.

    The factor multiplies as in vLLM's `rotary_embedding` classes: yarn starts from the original length, linear from the
    configured one; llama3, longrope and dynamic keep it.
    """
    positions = config.maybe_count("max_position_embeddings")
    if positions is None:
        return ()
    scaling = config.maybe_sub("rope_scaling", "rope_parameters")
    kind = scaling.text("rope_type", "type", default="default") if scaling else "default"
    if scaling and kind in ("yarn", "deepseek_yarn", "linear"):
        factor = scaling.number("factor", default=1.0)
        base = scaling.maybe_count("original_max_position_embeddings") if kind != "linear" else None
        positions = int((base or positions) * factor)
    return (Rope(rotary_dim, positions, dtype),)


def assemble(
    config: Fields,
    *,
    family: str,
    num_layers: int,
    hidden_size: int,
    tensors: Iterable[Tensor],
    caches: Iterable[Cache] = (),
    attentions: Iterable[Attention] = (),
    ropes: Iterable[Rope] = (),
    shared_experts: int = 0,
    context_length: int | None = None,
    notes: Iterable[str] = (),
) -> ModelSpec:
    """The finished spec of a family; tensors of no layer at all are dropped."""
    kept = tuple(t for t in tensors if t.layers is None or t.layers)
    return ModelSpec(
        name="",
        source=config.where,
        architecture=family,
        num_layers=num_layers,
        hidden_size=hidden_size,
        vocab_size=config.maybe_count("vocab_size"),
        context_length=context_length or config.maybe_count("max_position_embeddings"),
        dtype=config.dtype(default="bfloat16"),
        tensors=kept,
        caches=tuple(caches),
        attentions=tuple(attentions),
        ropes=tuple(ropes),
        shared_experts=shared_experts,
        notes=tuple(notes),
    )
