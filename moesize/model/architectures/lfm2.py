"""LFM2: gated short convolutions with attention between them; the MoE variant has dense MLPs in its first layers.

Names: transformers `models/lfm2`, `models/lfm2_moe`; the division over ranks is that of vLLM's `models/lfm2.py`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._delta import state_cache
from moesize.model.architectures._moe import head_norms, known_types, mixture, where_layer
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Segment, Split, State, Tensor

LAYER = "model.layers.{layer}"
FULL, CONV = "full_attention", "conv"
GLU = ("w1", "w3", "w2")


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `lfm2` or `lfm2_moe` configuration."""
    family = config.text("model_type")
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    types = _layer_types(config, num_layers)
    full, conv = where_layer(types, FULL), where_layer(types, CONV)
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=8)
    head_dim = hidden // heads
    kernel = config.count("conv_L_cache")
    return blocks.assemble(
        config,
        family=family,
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *_ends(config, hidden),
            *blocks.norm(f"{LAYER}.operator_norm", hidden, layers),
            *blocks.norm(f"{LAYER}.ffn_norm", hidden, layers),
            *blocks.gqa(
                f"{LAYER}.self_attn", full,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
                names=("q_proj", "k_proj", "v_proj", "out_proj"),
            ),
            *head_norms(f"{LAYER}.self_attn", full, head_dim, ("q_layernorm", "k_layernorm")),
            *_short_conv(f"{LAYER}.conv", conv, hidden, kernel, bias=config.flag("conv_bias", default=False)),
            *_feed_forward(config, f"{LAYER}.feed_forward", hidden, layers),
        ],
        caches=[
            *blocks.kv_cache(full, num_kv_heads=kv_heads, head_dim=head_dim),
            *state_cache(conv, "short_conv", State("conv", (hidden, kernel))),
        ],
        attentions=blocks.attention_products(full, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
    )  # fmt: skip


def _layer_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    """`layer_types`, or attention in the layers `full_attn_idxs` names."""
    attention = config.counts("full_attn_idxs", default=tuple(range(num_layers)))
    types = config.layer_types(num_layers, (FULL if i in attention else CONV for i in range(num_layers)))
    known_types(config, types, (FULL, CONV))
    return types


def _ends(config: Fields, hidden: int) -> list[Tensor]:
    vocab, table = config.count("vocab_size"), "model.embed_tokens.weight"
    tied = config.flag("tie_embedding", "tie_word_embeddings", default=True)
    return [
        blocks.embedding(table, vocab, hidden),
        *blocks.norm("model.embedding_norm", hidden, None),
        *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=table if tied else None),
    ]


def _short_conv(prefix: str, layers: tuple[int, ...], hidden: int, kernel: int, *, bias: bool) -> list[Tensor]:
    """Two gates and the input in one matrix, a depthwise convolution, an output projection."""
    role, column = Role.STATE_SPACE, Split.COLUMN
    three = (Segment(hidden, hidden),) * 3
    tensors = [
        *blocks.linear(f"{prefix}.in_proj", 3 * hidden, hidden, role, layers, split=column, segments=three, bias=bias),
        Tensor(f"{prefix}.conv.weight", (hidden, 1, kernel), role, Kind.CONV, layers, split=column),
        *blocks.linear(f"{prefix}.out_proj", hidden, hidden, role, layers, split=Split.ROW, bias=bias),
    ]
    if bias:
        tensors.append(blocks.vector(f"{prefix}.conv.bias", hidden, role, layers, split=column))
    return tensors


def _feed_forward(config: Fields, prefix: str, hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    if not config.has("num_experts"):
        inner = _dense_width(config)
        return blocks.glu_mlp(prefix, layers, hidden_size=hidden, intermediate_size=inner, names=GLU)
    first = config.count("num_dense_layers", minimum=0)
    inner = config.count("intermediate_size")
    return [
        *blocks.glu_mlp(prefix, layers[:first], hidden_size=hidden, intermediate_size=inner, names=GLU),
        *mixture(
            prefix, layers[first:],
            hidden_size=hidden, intermediate_size=config.count("moe_intermediate_size"),
            experts=config.expert_count("num_experts"), per_token=config.expert_count("num_experts_per_tok"),
            correction="expert_bias" if config.flag("use_expert_bias", default=True) else "", names=GLU,
        ),
    ]  # fmt: skip


def _dense_width(config: Fields) -> int:
    """The MLP width: two thirds of the stated one, scaled and rounded up, unless told to take it as it is."""
    width = config.count("block_ff_dim", "intermediate_size")
    if not config.flag("block_auto_adjust_ff_dim", default=True):
        return width
    width = int(config.number("block_ffn_dim_multiplier", default=1.0) * (2 * width // 3))
    multiple = config.count("block_multiple_of", default=256)
    return -(-width // multiple) * multiple
