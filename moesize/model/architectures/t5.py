"""T5 and Switch Transformers: encoder and decoder stacks; in Switch every n-th feed-forward is a mixture with top-1.

Names: transformers `models/t5`, `models/switch_transformers`. Layers are numbered within their stack, as there.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.fields import Fields
from moesize.model.spec import (
    Attention,
    Cache,
    CacheKind,
    Kind,
    ModelSpec,
    Role,
    Split,
    Tensor,
)

#: What both configuration classes fill in; released files leave it out.
POSITION_BUCKETS = 32


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `t5` or `switch_transformers` configuration."""
    family = config.text("model_type")
    hidden = config.count("d_model")
    heads, head_dim = config.count("num_heads"), config.count("d_kv")
    encoder = tuple(range(config.layer_count("num_layers")))
    decoder = tuple(range(config.layer_count("num_decoder_layers", default=len(encoder))))
    tied = family == "t5" or config.flag("tie_word_embeddings", default=True)
    vocab = config.count("vocab_size")
    self_attention, cross_attention = "block.{layer}.layer.0.SelfAttention", "block.{layer}.layer.1.EncDecAttention"
    return blocks.assemble(
        config,
        family=family,
        num_layers=len(encoder) + len(decoder),
        hidden_size=hidden,
        tensors=[
            blocks.embedding("shared.weight", vocab, hidden),
            *_attention(config, f"encoder.{self_attention}", encoder),
            *_positions(config, f"encoder.{self_attention}"),
            *_feed_forward(config, family, "encoder", 1, encoder),
            *blocks.norm("encoder.final_layer_norm", hidden, None),
            *_attention(config, f"decoder.{self_attention}", decoder),
            *_positions(config, f"decoder.{self_attention}"),
            *_attention(config, f"decoder.{cross_attention}", decoder),
            *_feed_forward(config, family, "decoder", 2, decoder),
            *blocks.norm("decoder.final_layer_norm", hidden, None),
            *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to="shared.weight" if tied else None),
        ],
        caches=[
            Cache(CacheKind.FULL, decoder, heads, head_dim, head_dim),
            Cache(CacheKind.CROSS, decoder, heads, head_dim, head_dim),
        ],
        attentions=[
            Attention(encoder, heads, head_dim, head_dim, causal=False),
            Attention(decoder, heads, head_dim, head_dim),
            Attention(decoder, heads, head_dim, head_dim, causal=False),
        ],
        context_length=config.maybe_count("n_positions"),
    )


def _attention(config: Fields, prefix: str, layers: tuple[int, ...]) -> list[Tensor]:
    """Four matrices and the norm before them; `d_kv` is the head's own width, not hidden size over heads."""
    heads, hidden = config.count("num_heads"), config.count("d_model")
    return [
        *blocks.gqa(
            prefix, layers,
            hidden_size=hidden, num_heads=heads, num_kv_heads=heads, head_dim=config.count("d_kv"),
            names=("q", "k", "v", "o"),
        ),
        *blocks.norm(f"{prefix.rpartition('.')[0]}.layer_norm", hidden, layers),
    ]  # fmt: skip


def _positions(config: Fields, prefix: str) -> list[Tensor]:
    """The relative positions of a stack: its first layer's, used by all."""
    rows = config.count("relative_attention_num_buckets", default=POSITION_BUCKETS)
    shape = (rows, config.count("num_heads"))
    return [Tensor(f"{prefix}.relative_attention_bias.weight", shape, Role.ATTENTION, Kind.EMBEDDING, (0,))]


def _feed_forward(config: Fields, family: str, stack: str, index: int, layers: tuple[int, ...]) -> list[Tensor]:
    """The feed-forward of every layer of a stack, dense or a mixture, and the norm before it."""
    hidden, inner = config.count("d_model"), config.count("d_ff")
    prefix = f"{stack}.block.{{layer}}.layer.{index}"
    sparse = _sparse(config, stack, len(layers)) if family == "switch_transformers" else ()
    dense = tuple(i for i in layers if i not in sparse)
    mlp = f"{prefix}.DenseReluDense" if family == "t5" else f"{prefix}.mlp"
    tensors = [
        *_dense(mlp, dense, hidden, inner, gated=_gated(config, family)),
        *blocks.norm(f"{prefix}.layer_norm", hidden, layers),
    ]
    if sparse:
        experts = config.expert_count("num_experts")
        dtype = config.dtype("router_dtype", default="float32")
        tensors += blocks.linear(f"{mlp}.router.classifier", experts, hidden, Role.ROUTER, sparse, dtype=dtype)
        tensors += _experts(config, f"{mlp}.experts.expert_{{expert}}", sparse, gated=_gated(config, family))
    return tensors


def _dense(prefix: str, layers: tuple[int, ...], hidden_size: int, inner: int, *, gated: bool) -> list[Tensor]:
    if gated:
        return blocks.glu_mlp(
            prefix, layers, hidden_size=hidden_size, intermediate_size=inner, names=("wi_0", "wi_1", "wo")
        )
    return blocks.plain_mlp(prefix, layers, hidden_size=hidden_size, intermediate_size=inner, names=("wi", "wo"))


def _experts(config: Fields, prefix: str, layers: tuple[int, ...], *, gated: bool) -> list[Tensor]:
    hidden, inner, experts = config.count("d_model"), config.count("d_ff"), config.expert_count("num_experts")
    ups = ("wi_0", "wi_1") if gated else ("wi",)
    return [
        *(blocks.expert_matrix(f"{prefix}.{up}.weight", inner, hidden, layers, experts, 1, Split.COLUMN) for up in ups),
        blocks.expert_matrix(f"{prefix}.wo.weight", hidden, inner, layers, experts, 1, Split.ROW),
    ]


def _gated(config: Fields, family: str) -> bool:
    """Whether the feed-forward has a gate: T5 1.1 and Switch-XXL do."""
    key = "feed_forward_proj" if family == "t5" else "dense_act_fn"
    return config.text(key, default="relu").startswith("gated")


def _sparse(config: Fields, stack: str, num_layers: int) -> tuple[int, ...]:
    """The layers that are mixtures: with a step of n, those after the first of each n.

    Raises:
        InputError: more mixtures than layers.
    """
    wanted = config.count(f"num_sparse_{stack}_layers", minimum=0)
    if wanted > num_layers:
        raise InputError(
            f"{config.where}: num_sparse_{stack}_layers is {wanted}, but the {stack} has {num_layers} layers"
        )
    step = num_layers // wanted if wanted else num_layers
    return tuple(i for i in range(num_layers) if step == 1 or i % step == 1) if wanted else ()
