"""The decoder most mixtures share: two norms, grouped-query attention, then a dense or a routed gated MLP."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Rope, Tensor


@dataclass(frozen=True, slots=True)
class Design:
    """Sizes and names of one decoder layer.

    Attributes:
        hidden_size: Width of the residual stream.
        num_heads: Query heads.
        num_kv_heads: Key and value heads.
        head_dim: Elements of a head.
        intermediate_size: Width of a dense layer's MLP; 0 when no layer is dense.
        moe_intermediate_size: Width of one routed expert.
        experts: Routed experts of a layer.
        per_token: How many of them a token is routed to.
        shared_intermediate_size: Width of all shared experts together; 0 for none.
        qkv_bias: Whether queries, keys and values have biases.
        out_bias: Whether the output projection has one.
        qk_norm: `head` for a norm per head, `wide` for one over all heads (`wide_sharded`: engines split it), or none.
        norms: Names of the norms of a layer.
        mlp: Where the MLP or the mixture stands in a layer.
        gate: Name of the router in the mixture.
        gate_dtype: Its type, when not the model's.
        shared: Name of the shared experts in the mixture.
        correction: Name of the buffer of score corrections in the mixture; empty for none.
        expert_names: Gate, up and down projection of a routed expert.
        qk_norm_names: Names of the per-head norms.
    """

    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    moe_intermediate_size: int
    experts: int
    per_token: int
    shared_intermediate_size: int = 0
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: str = ""
    norms: Sequence[str] = field(default=("input_layernorm", "post_attention_layernorm"), kw_only=True)
    mlp: str = field(default="mlp", kw_only=True)
    gate: str = field(default="gate", kw_only=True)
    gate_dtype: str | None = field(default=None, kw_only=True)
    shared: str = field(default="shared_experts", kw_only=True)
    correction: str = field(default="", kw_only=True)
    expert_names: Sequence[str] = field(default=moe.GLU, kw_only=True)
    qk_norm_names: Sequence[str] = field(default=("q_norm", "k_norm"), kw_only=True)


def attention_heads(config: Fields, hidden_size: int, *, head_dim: int | None = None) -> tuple[int, int, int]:
    """Query heads, KV heads and elements of a head, under the names llama gave them."""
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    return heads, kv_heads, head_dim or blocks.head_dim_of(config, hidden_size, heads)


def layers_of(
    design: Design, dense: tuple[int, ...], sparse: tuple[int, ...], prefix: str = "model.layers.{layer}"
) -> list[Tensor]:
    """Every tensor of the `dense` and the `sparse` layers."""
    every = tuple(sorted((*dense, *sparse)))
    attention = f"{prefix}.self_attn"
    tensors = [t for name in design.norms for t in blocks.norm(f"{prefix}.{name}", design.hidden_size, every)]
    tensors += blocks.gqa(
        attention, every,
        hidden_size=design.hidden_size, num_heads=design.num_heads, num_kv_heads=design.num_kv_heads,
        head_dim=design.head_dim, qkv_bias=design.qkv_bias, out_bias=design.out_bias,
    )  # fmt: skip
    if design.qk_norm == "head":
        tensors += moe.head_norms(attention, every, design.head_dim, design.qk_norm_names)
    elif design.qk_norm:
        tensors += moe.wide_norms(
            attention, every,
            num_heads=design.num_heads, num_kv_heads=design.num_kv_heads, head_dim=design.head_dim,
            sharded=design.qk_norm == "wide_sharded",
        )  # fmt: skip
    if dense:
        tensors += blocks.glu_mlp(
            f"{prefix}.mlp", dense, hidden_size=design.hidden_size, intermediate_size=design.intermediate_size
        )
    tensors += moe.mixture(
        f"{prefix}.{design.mlp}", sparse,
        hidden_size=design.hidden_size, intermediate_size=design.moe_intermediate_size,
        experts=design.experts, per_token=design.per_token,
        shared_intermediate_size=design.shared_intermediate_size, shared=design.shared,
        gate=design.gate, gate_dtype=design.gate_dtype, correction=design.correction, names=design.expert_names,
    )  # fmt: skip
    return tensors


def decoder(
    config: Fields,
    design: Design,
    *,
    family: str,
    dense: tuple[int, ...],
    sparse: tuple[int, ...],
    sliding: tuple[int, ...] = (),
    window_tokens: int | None = None,
    shared_experts: int = 0,
    tied_by_default: bool = False,
    ropes: tuple[Rope, ...] | None = None,
    prefix: str = "model.",
    head: str = "lm_head.weight",
    more: Iterable[Tensor] = (),
    notes: Iterable[str] = (),
) -> ModelSpec:
    """The finished model: `sliding` layers keep a window of `window_tokens`, the others everything."""
    every = tuple(sorted((*dense, *sparse)))
    full = tuple(i for i in every if i not in sliding)
    kv = {"num_kv_heads": design.num_kv_heads, "head_dim": design.head_dim}
    products = {"num_heads": design.num_heads, "head_dim": design.head_dim}
    return blocks.assemble(
        config,
        family=family,
        num_layers=len(every),
        hidden_size=design.hidden_size,
        tensors=[
            *ends(config, design.hidden_size, prefix=prefix, head=head, tied_by_default=tied_by_default),
            *layers_of(design, dense, sparse, f"{prefix}layers.{{layer}}"),
            *more,
        ],
        caches=[*blocks.kv_cache(full, **kv), *blocks.kv_cache(sliding, window_tokens=window_tokens, **kv)],
        attentions=[
            *blocks.attention_products(full, **products),
            *blocks.attention_products(sliding, window_tokens=window_tokens, **products),
        ],
        ropes=blocks.rope_of(config, rotary_dim(config, design.head_dim)) if ropes is None else ropes,
        shared_experts=shared_experts,
        notes=notes,
    )


def ends(
    config: Fields, hidden_size: int, *, prefix: str, head: str = "lm_head.weight", tied_by_default: bool = False
) -> list[Tensor]:
    """Embedding, final norm and head, the head under a name of its own choosing."""
    vocab, table = config.count("vocab_size"), f"{prefix}embed_tokens.weight"
    tied = table if config.flag("tie_word_embeddings", default=tied_by_default) else None
    return [
        blocks.embedding(table, vocab, hidden_size),
        *blocks.norm(f"{prefix}norm", hidden_size, None),
        *blocks.lm_head(head, vocab, hidden_size, tied_to=tied),
    ]


def rotary_dim(config: Fields, head_dim: int) -> int:
    """The part of a head that is rotated: `rotary_dim`, or `partial_rotary_factor` of the head, or all of it."""
    if config.has("rotary_dim"):
        return config.count("rotary_dim")
    rope = config.maybe_sub("rope_parameters", "rope_scaling")
    default = rope.number("partial_rotary_factor", default=1.0) if rope else 1.0
    return int(head_dim * config.number("partial_rotary_factor", default=default))
