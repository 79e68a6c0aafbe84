"""EAGLE-3 draft heads: one layer over hidden states of the target, whose queries, keys and values read two streams.

Names: `eagle/model/cnets.py` of SafeAILab/EAGLE @cb7e084 (`midlayer`, `fc`, `d2t`, `t2d`); vLLM 0.33
`models/llama_eagle3.py`, `qwen3_eagle3.py`, `deepseek_eagle3.py`, and `transformers_utils/configs/speculators/algos.py`
for the nested form. No configuration says whether the checkpoint carries embedding and head: the keys
`has_own_embed_tokens` and `has_own_lm_head`, called as in vLLM's loader, do here.
"""

from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import deepseek
from moesize.model.architectures._decoder import alternating_windows, decoder
from moesize.model.architectures._moe import head_norms, not_loaded
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, CacheKind, Kind, ModelSpec, Role, Tensor

#: Hidden states of the target a head reads when its file does not list them.
AUX_HIDDEN_STATES = 3


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an EAGLE-3 head, flat or in the `speculators` form."""
    nested = config.has("transformer_layer_config")
    if nested:
        config = _flat(config)
    layers = tuple(range(config.layer_count("num_hidden_layers", default=1)))
    if len(layers) != 1:
        raise InputError(
            f"{config.where}: num_hidden_layers is {len(layers)}; EAGLE-3 heads of one layer are known here"
        )
    prefix = "layers.0" if nested else "midlayer"
    hidden = config.count("hidden_size")
    names = ("hidden_norm", "input_layernorm", "post_attention_layernorm")
    shared = [
        *_joint(config, hidden),
        *(t for name in names for t in blocks.norm(f"{prefix}.{name}", hidden, layers)),
        *blocks.glu_mlp(
            f"{prefix}.mlp", layers, hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
            bias=config.flag("mlp_bias", default=False),
        ),
        *blocks.norm("norm", hidden, None),
        *_vocabulary(config, hidden, stores_embedding=nested),
    ]  # fmt: skip
    if config.has("kv_lora_rank"):
        return _latent(config, f"{prefix}.self_attn", layers, shared)
    return _grouped(config, f"{prefix}.self_attn", shared)


def _flat(config: Fields) -> Fields:
    """The layer's own keys with those of the head laid over them."""
    layer = config.sub("transformer_layer_config")
    own = {key: value for key, value in config.values.items() if value is not None and key != "model_type"}
    return Fields({**layer.values, **own}, config.where)


def _joint(config: Fields, hidden: int) -> list[Tensor]:
    """What brings several hidden states of the target to the width of the head."""
    eagle = config.maybe_sub("eagle_config") or Fields({}, config.where)
    if not eagle.flag("use_aux_hidden_state", default=True):
        return []
    listed = [f.values.get("eagle_aux_hidden_state_layer_ids") for f in (config, eagle)]
    ids = next((one for one in listed if isinstance(one, list) and one), [0] * AUX_HIDDEN_STATES)
    states = config.count("num_aux_hidden_states", default=len(ids))
    target = config.count("target_hidden_size", default=hidden)
    normed = eagle.flag("norm_before_fc", default=config.flag("norm_before_fc", default=False))
    each = range(states) if config.flag("fc_norm", default=False) else ()
    return [
        *(blocks.norm("input_norm", states * target, None) if normed else ()),
        *(t for i in each for t in blocks.norm(f"fc_norm.{i}", target, None)),
        *blocks.linear("fc", hidden, states * target, Role.OTHER, None),
    ]


def _vocabulary(config: Fields, hidden: int, *, stores_embedding: bool) -> list[Tensor]:
    """The head over the drafted part of the vocabulary, its two maps, and a copy of the target's embedding.

    Engines share the target's embedding, take the head from it where the checkpoint has none, and need the map from
    drafted to target tokens alone.
    """
    vocab = config.count("vocab_size")
    drafted = config.count("draft_vocab_size", default=vocab)
    tensors: list[Tensor] = []
    if config.flag("has_own_lm_head", default=True):
        tensors += blocks.lm_head("lm_head.weight", drafted, hidden)
    if config.flag("has_own_embed_tokens", default=stores_embedding):
        tensors += not_loaded([blocks.embedding("embed_tokens.weight", vocab, hidden)])
    if drafted != vocab:
        maps = Tensor("d2t", (drafted,), Role.OTHER, Kind.PARAMETER, dtype="int64", buffer=True)
        tensors += [maps, replace(maps, name="t2d", shape=(vocab,), dtype="bool", loaded=False)]
    return tensors


def _grouped(config: Fields, prefix: str, tensors: list[Tensor]) -> ModelSpec:
    """Grouped queries, as in Llama; with norms of the heads in what follows Qwen3."""
    dims = decoder(config, "eagle3")
    bias = config.flag("attention_bias", default=False)
    twice = {f"{prefix}.{name}_proj.weight" for name in ("q", "k", "v")}
    attention = [
        replace(t, shape=(t.shape[0], 2 * t.shape[1])) if t.name in twice else t
        for t in dims.attention(prefix, qkv_bias=bias, out_bias=bias)
    ]
    qwen3 = config.text("model_type", default="llama") == "qwen3"
    norms = head_norms(prefix, dims.layers, dims.head_dim) if qwen3 else []
    windows = alternating_windows(config, len(dims.layers), period=0) if qwen3 else None
    return dims.finish([*attention, *norms, *tensors], windows=windows)


def _latent(config: Fields, prefix: str, layers: tuple[int, ...], tensors: list[Tensor]) -> ModelSpec:
    """Latent attention, as in DeepSeek V3 and Kimi K2."""
    hidden, rope = config.count("hidden_size"), config.count("qk_rope_head_dim")
    heads, v_dim = config.count("num_attention_heads"), config.count("v_head_dim")
    attention = deepseek.latent_attention(config, prefix, hidden, layers, input_size=2 * hidden)
    return blocks.assemble(
        config,
        family="eagle3",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[*attention, *tensors],
        caches=[Cache(CacheKind.LATENT, layers, 1, config.count("kv_lora_rank") + rope, 0, rope_dim=rope)],
        attentions=[Attention(layers, heads, config.count("qk_nope_head_dim") + rope, v_dim)],
        ropes=blocks.rope_of(config, rope),
    )
