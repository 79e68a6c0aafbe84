"""Ling 3.0: Kimi delta attention with gated latent attention in every sixth layer, small experts.

Names: transformers `models/bailing_hybrid`, whose conversion reads the checkpoints' (`word_embeddings`, `attention`).
"""

from dataclasses import replace

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._kda import Kda, kda, kda_cache
from moesize.model.architectures._moe import every_nth, first_dense, known_types, mixture, not_loaded, where_layer
from moesize.model.architectures.deepseek import latent_attention
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, CacheKind, ModelSpec, Role, Split, Tensor

LAYER = "model.layers.{layer}"
FULL, LINEAR = "full_attention", "linear_attention"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `bailing_hybrid` configuration with a `short_conv_kernel_size`."""
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    period = config.layer_count("layer_group_size", default=6)
    types = config.layer_types(num_layers, every_nth(num_layers, period, regular=LINEAR, nth=FULL))
    known_types(config, types, (FULL, LINEAR))
    full, linear = where_layer(types, FULL), where_layer(types, LINEAR)
    heads, rope = config.count("num_attention_heads"), config.count("qk_rope_head_dim")
    qk_dim, v_dim = config.count("qk_nope_head_dim") + rope, config.count("v_head_dim")
    dims = Kda(
        heads, config.count("head_dim"), config.count("short_conv_kernel_size"),
        low_rank_forget=False, low_rank_gate=False,
    )  # fmt: skip
    dense, sparse = first_dense(num_layers, config.count("first_k_dense_replace", minimum=0))
    drafts = config.count("num_nextn_predict_layers", "num_mtp_layers", default=0, minimum=0, maximum=1000)
    inner = config.count("intermediate_size")
    return blocks.assemble(
        config,
        family="bailing_hybrid",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *_ends(config, hidden),
            *_norms(hidden, layers),
            *_latent(config, hidden, full),
            *kda(f"{LAYER}.attention", linear, dims, hidden_size=hidden, decay_shape=(heads,)),
            *blocks.glu_mlp(f"{LAYER}.mlp", dense, hidden_size=hidden, intermediate_size=inner),
            *_experts(config, hidden, sparse),
            *not_loaded(_draft(config, hidden, tuple(range(num_layers, num_layers + drafts)))),
        ],
        caches=[
            *([Cache(CacheKind.LATENT, full, 1, config.count("kv_lora_rank") + rope, rope_dim=rope)] if full else []),
            *kda_cache(linear, dims),
        ],
        attentions=[Attention(full, heads, qk_dim, v_dim)] if full else [],
        ropes=blocks.rope_of(config, rope),
        shared_experts=_shared(config),
    )  # fmt: skip


def _ends(config: Fields, hidden: int) -> list[Tensor]:
    vocab, table = config.count("vocab_size"), "model.word_embeddings.weight"
    tied = table if config.flag("tie_word_embeddings", default=False) else None
    return [
        blocks.embedding(table, vocab, hidden),
        *blocks.norm("model.norm", hidden, None),
        *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=tied),
    ]


def _norms(hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    return [
        *blocks.norm(f"{LAYER}.input_layernorm", hidden, layers),
        *blocks.norm(f"{LAYER}.post_attention_layernorm", hidden, layers),
    ]


def _latent(config: Fields, hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Latent attention whose output is gated by one number per head."""
    prefix, heads = f"{LAYER}.attention", config.count("num_attention_heads")
    tensors = latent_attention(config, prefix, hidden, layers)
    return [
        *(replace(tensor, name=tensor.name.replace(".o_proj.", ".dense.")) for tensor in tensors),
        *blocks.linear(
            f"{prefix}.g_proj", heads, hidden, Role.ATTENTION, layers,
            split=Split.COLUMN, segments=blocks.heads(heads, 1),
        ),
    ]  # fmt: skip


def _shared(config: Fields) -> int:
    return config.count("num_shared_experts", "n_shared_experts", default=1, minimum=0)


def _experts(config: Fields, hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    inner = config.count("moe_intermediate_size")
    return mixture(
        f"{LAYER}.mlp", layers,
        hidden_size=hidden, intermediate_size=inner,
        experts=config.expert_count("num_experts", "num_local_experts"),
        per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=inner * _shared(config), correction="gate.expert_bias",
    )  # fmt: skip


def _draft(config: Fields, hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Draft layers, numbered after the others: latent attention and a mixture; embedding and head are shared."""
    if not layers:
        return []
    return [
        *_norms(hidden, layers),
        *_latent(config, hidden, layers),
        *_experts(config, hidden, layers),
        *blocks.linear(f"{LAYER}.eh_proj", hidden, 2 * hidden, Role.OTHER, layers),
        *(t for part in ("enorm", "hnorm", "final_layernorm") for t in blocks.norm(f"{LAYER}.{part}", hidden, layers)),
    ]
