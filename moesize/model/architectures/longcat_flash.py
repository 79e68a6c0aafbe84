"""LongCat-Flash: two latent attentions and two dense MLPs in every layer, experts of which some do nothing.

Names: checkpoint `meituan-longcat/LongCat-Flash-Chat`, transformers `models/longcat_flash`. transformers makes room for
gate and up projections of the experts that do nothing; the checkpoint has none, and neither has this.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.architectures.deepseek import latent_attention
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, CacheKind, Kind, ModelSpec, Role, Tensor

_HALVES = (0, 1)
_IDLE = "{} of the {} experts a token may choose do nothing, so the active count is an upper bound"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `longcat_flash` configuration; active counts take every chosen expert for a real one."""
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_layers")))
    layer = "model.layers.{layer}"
    inner = config.count("ffn_hidden_size")
    experts, idle = config.expert_count("n_routed_experts"), config.expert_count("zero_expert_num", minimum=0)
    rope, nope = config.count("qk_rope_head_dim"), config.count("qk_nope_head_dim")
    tensors = [
        *blocks.ends(config, hidden_size=hidden),
        *blocks.router(f"{layer}.mlp.router.classifier", experts + idle, hidden, layers),
        moe.score_correction(f"{layer}.mlp.router.e_score_correction_bias", (experts + idle,), layers),
        *blocks.glu_experts(
            f"{layer}.mlp.experts", layers,
            hidden_size=hidden, intermediate_size=config.count("expert_ffn_hidden_size"),
            experts=experts, per_token=config.expert_count("moe_topk", "num_experts_per_tok"),
        ),
    ]  # fmt: skip
    for half in _HALVES:
        tensors += [
            *blocks.norm(f"{layer}.input_layernorm.{half}", hidden, layers),
            *latent_attention(config, f"{layer}.self_attn.{half}", hidden, layers),
            *blocks.norm(f"{layer}.post_attention_layernorm.{half}", hidden, layers),
            *blocks.glu_mlp(f"{layer}.mlps.{half}", layers, hidden_size=hidden, intermediate_size=inner),
        ]
    cache = Cache(CacheKind.LATENT, layers, 1, config.count("kv_lora_rank") + rope, 0, rope_dim=rope)
    product = Attention(layers, config.count("num_attention_heads"), nope + rope, config.count("v_head_dim"))
    return blocks.assemble(
        config,
        family="longcat_flash",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[*tensors, *_prediction(config, hidden, inner)],
        caches=[cache for _ in _HALVES],
        attentions=[product for _ in _HALVES],
        ropes=blocks.rope_of(config, rope),
        notes=[_IDLE.format(idle, experts + idle)] if idle else (),
    )


def _prediction(config: Fields, hidden_size: int, inner: int) -> list[Tensor]:
    """One dense layer with an embedding of its own."""
    layers = tuple(range(config.count("num_nextn_predict_layers", default=0, minimum=0, maximum=1000)))
    if not layers:
        return []
    layer, vocab = "model.mtp.layers.{layer}", config.count("vocab_size")
    norms = ("enorm.m", "hnorm.m", "input_layernorm", "post_attention_layernorm")
    return moe.not_loaded(
        [
            Tensor("model.mtp.embed_tokens.weight", (vocab, hidden_size), Role.EMBEDDING, Kind.EMBEDDING),
            *blocks.norm("model.mtp.norm", hidden_size, None),
            *(t for name in norms for t in blocks.norm(f"{layer}.{name}", hidden_size, layers)),
            *blocks.linear(f"{layer}.eh_proj", hidden_size, 2 * hidden_size, Role.OTHER, layers),
            *latent_attention(config, f"{layer}.self_attn", hidden_size, layers),
            *blocks.glu_mlp(f"{layer}.transformer_layer.mlp", layers, hidden_size=hidden_size, intermediate_size=inner),
        ]
    )
