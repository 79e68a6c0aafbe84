"""MiniMax-Text-01 and MiniMax-M1: lightning attention with full attention in every eighth layer, all layers mixtures.

Names: checkpoint `MiniMaxAI/MiniMax-Text-01`, which are those of transformers `models/minimax`.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._delta import state_cache
from moesize.model.architectures._moe import known_types, mixture, where_layer
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Segment, Split, State, Tensor

LAYER = "model.layers.{layer}"
FULL, LINEAR = "full_attention", "linear_attention"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `minimax`, `minimax_text_01` or `minimax_m1` configuration."""
    if config.count("shared_intermediate_size", default=0, minimum=0):
        raise InputError(f"{config.where}: shared_intermediate_size above 0 is not supported; no released model has it")
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    types = _layer_types(config, num_layers)
    full, linear = where_layer(types, FULL), where_layer(types, LINEAR)
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=8)
    head_dim = blocks.head_dim_of(config, hidden, heads)
    rotary = config.count("rotary_dim", default=head_dim)
    # The state is kept in the model's own dtype, unlike other recurrences.
    state = State("recurrent", (heads, head_dim, head_dim))
    return blocks.assemble(
        config,
        family="minimax",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm(f"{LAYER}.input_layernorm", hidden, layers),
            *blocks.norm(f"{LAYER}.post_attention_layernorm", hidden, layers),
            *blocks.gqa(
                f"{LAYER}.self_attn", full,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *_lightning(f"{LAYER}.self_attn", linear, hidden, heads, head_dim),
            *mixture(
                f"{LAYER}.block_sparse_moe", layers,
                hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
                experts=config.expert_count("num_local_experts"),
                per_token=config.expert_count("num_experts_per_tok"), names=("w1", "w3", "w2"),
            ),
        ],
        caches=[
            *blocks.kv_cache(full, num_kv_heads=kv_heads, head_dim=head_dim),
            *state_cache(linear, "lightning", state),
        ],
        attentions=blocks.attention_products(full, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, rotary),
    )  # fmt: skip


def _layer_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    """`layer_types`, or the zeros and ones of `attn_type_list` (1 is full attention)."""
    if config.has("layer_types"):
        types = config.layer_types(num_layers, ())
        known_types(config, types, (FULL, LINEAR))
        return types
    numbers = config.counts("attn_type_list")
    if len(numbers) != num_layers or not set(numbers) <= {0, 1}:
        raise InputError(
            f"{config.where}: attn_type_list must be a 0 (lightning) or 1 (full) for each of {num_layers} layers"
        )
    return tuple(FULL if number else LINEAR for number in numbers)


def _lightning(prefix: str, layers: tuple[int, ...], hidden: int, heads: int, head_dim: int) -> list[Tensor]:
    """Linear attention of fused query, key and value, a norm over all heads and an output gate."""
    width, role, column = heads * head_dim, Role.LINEAR_ATTENTION, Split.COLUMN
    whole = blocks.heads(heads, head_dim)
    # The fused matrix runs head by head: query, key and value of a head stand together.
    fused = (Segment(3 * width, heads),)
    return [
        *blocks.linear(f"{prefix}.qkv_proj", 3 * width, hidden, role, layers, split=column, segments=fused),
        *blocks.linear(f"{prefix}.output_gate", width, hidden, role, layers, split=column, segments=whole),
        *blocks.linear(f"{prefix}.out_proj", hidden, width, role, layers, split=Split.ROW, segments=whole),
        blocks.vector(f"{prefix}.norm.weight", width, Role.NORM, layers, split=column, segments=whole),
    ]
