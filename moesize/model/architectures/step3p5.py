"""Step-3.5 and 3.7 Flash: windowed layers with more query heads than full ones, a gate per head, one shared expert.

Names: checkpoints `stepfun-ai/Step-3.5-Flash` and `Step-3.7-Flash` (which has a tower), transformers `models/step3p7`.
Prediction layers follow the others; each is windowed and dense and has a head of its own.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.architectures import _step_vision as step_vision
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, Kind, ModelSpec, Role, Split, Tensor

_SLIDING, _FULL = "sliding_attention", "full_attention"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `step3p5` (text) or `step3p7` (nested text and tower) configuration."""
    nested = config.maybe_sub("text_config")
    outer = {key: config.values[key] for key in ("dtype", "torch_dtype") if config.has(key)}
    text = Fields({**outer, **nested.values}, config.where) if nested else config
    vision = config.maybe_sub("vision_config")
    hidden = text.count("hidden_size")
    num_layers = text.layer_count("num_hidden_layers")
    every = tuple(range(num_layers))
    types, predicted = _types(text, num_layers)
    sparse = _mixture_layers(text, num_layers)
    layer = "model.layers.{layer}"
    tensors = [
        *blocks.ends(text, hidden_size=hidden),
        *_layers(text, layer, hidden, moe.where_layer(types, _FULL), windowed=False),
        *_layers(text, layer, hidden, moe.where_layer(types, _SLIDING), windowed=True),
        *_dense(text, layer, hidden, tuple(i for i in every if i not in sparse)),
        *_mixture(text, layer, hidden, sparse),
        *_prediction(text, layer, hidden, predicted),
        *(step_vision.tower(vision, hidden) if vision else ()),
    ]
    caches: list[Cache] = []
    products: list[Attention] = []
    for kind in (_FULL, _SLIDING):
        layers = moe.where_layer(types, kind)
        heads, kv_heads, head_dim = _sizes(text, windowed=kind == _SLIDING)
        window = text.count("sliding_window") if kind == _SLIDING else None
        caches += blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim, window_tokens=window)
        products += blocks.attention_products(layers, num_heads=heads, head_dim=head_dim, window_tokens=window)
    head_dim = text.count("head_dim")
    # Full layers rotate half of the head, windowed ones all of it.
    ropes = (*blocks.rope_of(text, head_dim // 2), *blocks.rope_of(text, head_dim))
    return blocks.assemble(
        text, family="step3p5", num_layers=num_layers, hidden_size=hidden,
        tensors=tensors, caches=caches, attentions=products, ropes=ropes, shared_experts=1,
    )  # fmt: skip


def _types(config: Fields, num_layers: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """What each layer sees, and the prediction layers; `layer_types` may list those too."""
    extra = config.count("num_nextn_predict_layers", default=0, minimum=0, maximum=1000)
    types = config.texts("layer_types")
    if len(types) not in (num_layers, num_layers + extra):
        raise InputError(f"{config.where}: layer_types names {len(types)} layers, but the model has {num_layers}")
    moe.known_types(config, types, (_SLIDING, _FULL))
    return types[:num_layers], tuple(range(num_layers, num_layers + extra))


def _mixture_layers(config: Fields, num_layers: int) -> tuple[int, ...]:
    """Layers in `moe_layers_enum`, or all from the fourth on."""
    if config.has("moe_layers_enum"):
        return moe.enumerated_layers(config, "moe_layers_enum", num_layers)
    return tuple(range(config.count("first_k_dense_replace", default=3, minimum=0), num_layers))


def _sizes(config: Fields, *, windowed: bool) -> tuple[int, int, int]:
    """Query heads, KV heads and elements of a head of one kind of layer."""
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", "num_attention_groups")
    head_dim = config.count("head_dim")
    other = config.maybe_sub("attention_other_setting") if windowed else None
    if other is None:
        return config.count("num_sliding_attention_heads", default=heads) if windowed else heads, kv_heads, head_dim
    if other.count("head_dim", default=head_dim) != head_dim:
        raise InputError(f"{other.where}: head_dim is not that of the full layers, which this family does not have")
    return other.count("num_attention_heads"), other.count("num_attention_groups", default=kv_heads), head_dim


def _layers(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...], *, windowed: bool) -> list[Tensor]:
    """Norms and gated attention of one kind of layer."""
    if not layers:
        return []
    heads, kv_heads, head_dim = _sizes(config, windowed=windowed)
    prefix = f"{layer}.self_attn"
    return [
        *blocks.norm(f"{layer}.input_layernorm", hidden_size, layers),
        *blocks.gqa(
            prefix, layers, hidden_size=hidden_size, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim
        ),
        *moe.head_norms(prefix, layers, head_dim),
        *blocks.linear(
            f"{prefix}.g_proj", heads, hidden_size, Role.ATTENTION, layers,
            split=Split.COLUMN, segments=blocks.heads(heads, 1),
        ),
        *blocks.norm(f"{layer}.post_attention_layernorm", hidden_size, layers),
    ]  # fmt: skip


def _dense(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    if not layers:
        return []
    width = config.count("intermediate_size")
    return blocks.glu_mlp(f"{layer}.mlp", layers, hidden_size=hidden_size, intermediate_size=width)


def _mixture(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Experts stored stacked, and the shared expert beside the mixture."""
    experts = config.expert_count("moe_num_experts", "num_experts", "n_routed_experts")
    per_token = config.expert_count("moe_top_k", "num_experts_per_tok")
    width = config.count("moe_intermediate_size")
    mixture = f"{layer}.moe"
    return [
        *blocks.router(f"{mixture}.gate", experts, hidden_size, layers),
        moe.score_correction(f"{mixture}.router_bias", (experts,), layers),
        *(
            blocks.expert_matrix(name, width, hidden_size, layers, experts, per_token, Split.COLUMN)
            for name in (f"{mixture}.gate_proj.weight", f"{mixture}.up_proj.weight")
        ),
        blocks.expert_matrix(
            f"{mixture}.down_proj.weight", hidden_size, width, layers, experts, per_token, Split.ROW
        ),
        *blocks.glu_mlp(
            f"{layer}.share_expert", layers, hidden_size=hidden_size,
            intermediate_size=config.count("share_expert_dim", "share_expert_dims"), role=Role.SHARED_EXPERT,
        ),
    ]  # fmt: skip


def _prediction(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    vocab = config.count("vocab_size")
    head = Tensor(
        f"{layer}.transformer.shared_head.output.weight", (vocab, hidden_size), Role.LM_HEAD, Kind.LINEAR, layers
    )
    return moe.not_loaded(
        [
            *_layers(config, layer, hidden_size, layers, windowed=True),
            *_dense(config, layer, hidden_size, layers),
            *blocks.norm(f"{layer}.enorm", hidden_size, layers),
            *blocks.norm(f"{layer}.hnorm", hidden_size, layers),
            *blocks.linear(f"{layer}.eh_proj", hidden_size, 2 * hidden_size, Role.OTHER, layers),
            *blocks.norm(f"{layer}.transformer.shared_head.norm", hidden_size, layers),
            head,
        ]
        if layers
        else []
    )
