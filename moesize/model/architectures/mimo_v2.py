"""MiMo-V2-Flash: layers with a window have twice the key and value heads and a sink; values are narrower than keys.

Names: transformers `models/mimo_v2_flash` and its conversion from `XiaomiMiMo/MiMo-V2-Flash`, whose three prediction
layers are windowed and dense; vLLM `models/mimo_v2_flash.py` keeps the router in float32.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, Kind, ModelSpec, Role, Rope, Split, Tensor

#: Prediction layers in the checkpoint, of which the configuration says nothing.
PREDICTION_LAYERS = 3


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `mimo_v2_flash` configuration."""
    moe.refuse(config, "attention_bias")
    if config.count("n_shared_experts", default=0, minimum=0):
        raise InputError(f"{config.where}: n_shared_experts is set, and no released model of this family has any")
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    every = tuple(range(num_layers))
    sliding = _flagged(config, "hybrid_layer_pattern", num_layers)
    full = tuple(i for i in every if i not in sliding)
    sparse = _flagged(config, "moe_layer_freq", num_layers)
    dense = tuple(i for i in every if i not in sparse)
    layer = "model.layers.{layer}"
    experts, per_token = config.expert_count("n_routed_experts"), config.expert_count("num_experts_per_tok")
    tensors = [
        *blocks.ends(config, hidden_size=hidden),
        *blocks.norm(f"{layer}.input_layernorm", hidden, every),
        *_attention(config, layer, full, windowed=False),
        *_attention(config, layer, sliding, windowed=True),
        *blocks.norm(f"{layer}.post_attention_layernorm", hidden, every),
        *_dense(config, layer, dense),
        *moe.mixture(
            f"{layer}.mlp", sparse,
            hidden_size=hidden, intermediate_size=config.count("moe_intermediate_size"),
            experts=experts, per_token=per_token,
            gate_dtype="float32", correction="gate.e_score_correction_bias",
        ),
        *_prediction(config, hidden),
    ]  # fmt: skip
    caches: list[Cache] = []
    products: list[Attention] = []
    ropes: list[Rope] = []
    for layers, windowed in ((full, False), (sliding, True)):
        if not layers:
            continue
        heads, kv_heads, key_dim, value_dim = _sizes(config, windowed=windowed)
        window = config.count("sliding_window", "sliding_window_size") if windowed else None
        caches += blocks.kv_cache(
            layers, num_kv_heads=kv_heads, head_dim=key_dim, v_head_dim=value_dim, window_tokens=window
        )
        products += blocks.attention_products(
            layers, num_heads=heads, head_dim=key_dim, v_head_dim=value_dim, window_tokens=window
        )
        ropes += blocks.rope_of(config, int(key_dim * config.number("partial_rotary_factor", default=1.0)))
    return blocks.assemble(
        config, family="mimo_v2_flash", num_layers=num_layers, hidden_size=hidden,
        tensors=tensors, caches=caches, attentions=products, ropes=ropes,
    )  # fmt: skip


def _flagged(config: Fields, key: str, num_layers: int) -> tuple[int, ...]:
    """The layers a list of zeros and ones marks."""
    flags = config.counts(key)
    if len(flags) != num_layers:
        raise InputError(f"{config.where}: {key} names {len(flags)} layers, but the model has {num_layers}")
    return tuple(i for i, flag in enumerate(flags) if flag)


def _sizes(config: Fields, *, windowed: bool) -> tuple[int, int, int, int]:
    """Query heads, KV heads, elements of a key and of a value."""
    prefix = "swa_" if windowed else ""
    names = ("num_attention_heads", "num_key_value_heads", "head_dim", "v_head_dim")
    heads, kv_heads, key_dim, value_dim = (config.count(f"{prefix}{name}") for name in names)
    return heads, kv_heads, key_dim, value_dim


def _attention(config: Fields, layer: str, layers: tuple[int, ...], *, windowed: bool) -> list[Tensor]:
    if not layers:
        return []
    heads, kv_heads, key_dim, value_dim = _sizes(config, windowed=windowed)
    prefix = f"{layer}.self_attn"
    tensors = blocks.gqa(
        prefix, layers, hidden_size=config.count("hidden_size"), num_heads=heads, num_kv_heads=kv_heads,
        head_dim=key_dim, v_head_dim=value_dim,
    )  # fmt: skip
    if config.flag(f"add_{'swa' if windowed else 'full'}_attention_sink_bias", default=False):
        name, segments = f"{prefix}.attention_sink_bias", blocks.heads(heads, 1)
        tensors.append(
            Tensor(name, (heads,), Role.ATTENTION, Kind.VECTOR, layers, split=Split.COLUMN, segments=segments)
        )
    return tensors


def _dense(config: Fields, layer: str, layers: tuple[int, ...]) -> list[Tensor]:
    if not layers:
        return []
    width = config.count("intermediate_size")
    return blocks.glu_mlp(f"{layer}.mlp", layers, hidden_size=config.count("hidden_size"), intermediate_size=width)


def _prediction(config: Fields, hidden_size: int) -> list[Tensor]:
    layers = tuple(range(PREDICTION_LAYERS))
    layer = "model.mtp.layers.{layer}"
    names = ("enorm", "hnorm", "input_layernorm", "pre_mlp_layernorm", "final_layernorm")
    return moe.not_loaded(
        [
            *(t for name in names for t in blocks.norm(f"{layer}.{name}", hidden_size, layers)),
            *blocks.linear(f"{layer}.eh_proj", hidden_size, 2 * hidden_size, Role.OTHER, layers),
            *_attention(config, layer, layers, windowed=True),
            *_dense(config, layer, layers),
        ]
    )
