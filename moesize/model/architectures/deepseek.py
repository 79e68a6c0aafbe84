"""DeepSeek V2, V3, V3.2 and what is built like them (Kimi K2, Moonlight, GLM-5): latent attention, small experts.

Names: transformers `models/deepseek_v2`, `deepseek_v3`, `deepseek_v32`, `glm_moe_dsa`; MTP layers as in the checkpoint
`deepseek-ai/DeepSeek-V3` (README_WEIGHTS.md), stacked after the last layer.
"""

from dataclasses import replace

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._moe import mixture, next_n_ends, next_n_layers, not_loaded
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

#: Families whose MTP layer brings its own copy of embedding and head; GLM-5's shares the model's.
OWN_MTP_EMBEDDINGS = ("deepseek_v3", "deepseek_v32", "glm4_moe_lite", "kimi_k2")
#: Families with a token indexer for sparse attention.
SPARSE_ATTENTION = ("deepseek_v32", "glm_moe_dsa")


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a configuration of one of these families."""
    return build_text(config)


def build_text(config: Fields, *, prefix: str = "", family: str | None = None) -> ModelSpec:
    """The decoder under a name prefix (`language_model.` where it stands beside a vision tower)."""
    family = family or config.text("model_type")
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    layers = tuple(range(num_layers))
    sparse = sparse_layers(config, num_layers)
    dense = tuple(i for i in layers if i not in sparse)
    indexed = indexer_layers(config, family, num_layers)
    model = f"{prefix}model."
    name = model + "layers.{layer}"
    drafts = next_n_layers(config, num_layers)
    return blocks.assemble(
        config,
        family=family,
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *(replace(t, name=prefix + t.name) for t in blocks.ends(config, hidden_size=hidden)),
            *_decoder(config, name, hidden, layers, indexed),
            *(_dense_mlp(config, name, hidden, dense) if dense else ()),
            *(_experts(config, name, hidden, sparse) if sparse else ()),
            *(_draft_layers(config, name, family, hidden, drafts) if drafts else ()),
        ],
        caches=_caches(config, layers, indexed),
        attentions=_products(config, layers, indexed),
        ropes=_ropes(config, family),
        shared_experts=config.count("n_shared_experts", default=0, minimum=0),
    )  # fmt: skip


def sparse_layers(config: Fields, num_layers: int) -> tuple[int, ...]:
    """Layers that are mixtures: by `mlp_layer_types`, or from `first_k_dense_replace` on, every `moe_layer_freq`-th."""
    if config.has("mlp_layer_types"):
        types = config.layer_types(num_layers, (), key="mlp_layer_types")
        return tuple(i for i, kind in enumerate(types) if kind == "sparse")
    first = config.count("first_k_dense_replace", minimum=0)
    step = config.count("moe_layer_freq", default=1)
    return tuple(i for i in range(first, num_layers) if i % step == 0)


def indexer_layers(config: Fields, family: str, num_layers: int) -> tuple[int, ...]:
    """Layers that pick their tokens themselves; a `shared` one takes the choice of the layer before."""
    if family not in SPARSE_ATTENTION:
        return ()
    types = config.layer_types(num_layers, ("full",) * num_layers, key="indexer_types")
    return tuple(i for i, kind in enumerate(types) if kind == "full")


def _decoder(
    config: Fields, name: str, hidden_size: int, layers: tuple[int, ...], indexed: tuple[int, ...]
) -> list[Tensor]:
    """Norms, attention and indexer of `layers`."""
    return [
        *blocks.norm(f"{name}.input_layernorm", hidden_size, layers),
        *latent_attention(config, f"{name}.self_attn", hidden_size, layers),
        *(_indexer(config, f"{name}.self_attn.indexer", hidden_size, indexed) if indexed else ()),
        *blocks.norm(f"{name}.post_attention_layernorm", hidden_size, layers),
    ]


def latent_attention(
    config: Fields, prefix: str, hidden_size: int, layers: tuple[int, ...], *, input_size: int | None = None
) -> list[Tensor]:
    """Multi-head latent attention; queries come straight from the hidden state where `q_lora_rank` is null.

    `input_size` is the width of what is read where that is not the residual's (draft heads).
    """
    width = input_size or hidden_size
    heads = config.count("num_attention_heads")
    nope, rope = config.count("qk_nope_head_dim"), config.count("qk_rope_head_dim")
    v_dim, latent = config.count("v_head_dim"), config.count("kv_lora_rank")
    rank = config.maybe_count("q_lora_rank")
    bias = config.flag("attention_bias", default=False)
    role, column = Role.ATTENTION, Split.COLUMN
    query, key_value = blocks.heads(heads, nope + rope), blocks.heads(heads, nope + v_dim)
    q_rows, kv_rows = heads * (nope + rope), heads * (nope + v_dim)
    if rank is None:
        queries = blocks.linear(f"{prefix}.q_proj", q_rows, width, role, layers, split=column, segments=query)
    else:
        queries = [
            *blocks.linear(f"{prefix}.q_a_proj", rank, width, role, layers, bias=bias),
            *blocks.norm(f"{prefix}.q_a_layernorm", rank, layers),
            *blocks.linear(f"{prefix}.q_b_proj", q_rows, rank, role, layers, split=column, segments=query),
        ]
    return [
        *queries,
        *blocks.linear(f"{prefix}.kv_a_proj_with_mqa", latent + rope, width, role, layers, bias=bias),
        *blocks.norm(f"{prefix}.kv_a_layernorm", latent, layers),
        *blocks.linear(f"{prefix}.kv_b_proj", kv_rows, latent, role, layers, split=column, segments=key_value),
        *blocks.linear(
            f"{prefix}.o_proj", hidden_size, heads * v_dim, role, layers,
            split=Split.ROW, segments=blocks.heads(heads, v_dim), bias=bias,
        ),
    ]  # fmt: skip


def _indexer(config: Fields, prefix: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    """The small attention that scores all tokens and keeps `index_topk`: on every rank whole."""
    heads, width = config.count("index_n_heads"), config.count("index_head_dim")
    return [
        *blocks.linear(f"{prefix}.wq_b", heads * width, config.count("q_lora_rank"), Role.INDEXER, layers),
        *blocks.linear(f"{prefix}.wk", width, hidden_size, Role.INDEXER, layers),
        *(
            blocks.vector(f"{prefix}.k_norm.{part}", width, Role.INDEXER, layers, dtype="float32")
            for part in ("weight", "bias")
        ),
        *blocks.linear(f"{prefix}.weights_proj", heads, hidden_size, Role.INDEXER, layers),
    ]


def _dense_mlp(config: Fields, name: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    inner = config.count("intermediate_size")
    return blocks.glu_mlp(f"{name}.mlp", layers, hidden_size=hidden_size, intermediate_size=inner)


def _experts(config: Fields, name: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Router, routed experts and the shared ones, which are one MLP of their joint width."""
    inner = config.count("moe_intermediate_size")
    # Only the second generation balanced its experts by a loss; later classes always keep the correction.
    usual = "greedy" if config.values.get("model_type") == "deepseek_v2" else "noaux_tc"
    corrected = config.text("topk_method", default=usual) == "noaux_tc"
    return mixture(
        f"{name}.mlp", layers,
        hidden_size=hidden_size, intermediate_size=inner,
        experts=config.expert_count("n_routed_experts"), per_token=config.expert_count("num_experts_per_tok"),
        shared_intermediate_size=inner * config.count("n_shared_experts", default=0, minimum=0),
        correction="gate.e_score_correction_bias" if corrected else "",
    )  # fmt: skip


def _draft_layers(config: Fields, name: str, family: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    """The layers that predict further tokens: each a whole mixture layer between a projection and a head."""
    indexed = layers if family in SPARSE_ATTENTION else ()
    copied_rows = config.count("vocab_size") if family in OWN_MTP_EMBEDDINGS else 0
    return not_loaded(
        [
            *next_n_ends(name, layers, hidden_size=hidden_size, copied_rows=copied_rows),
            *_decoder(config, name, hidden_size, layers, indexed),
            *_experts(config, name, hidden_size, layers),
        ]
    )


def _caches(config: Fields, layers: tuple[int, ...], indexed: tuple[int, ...]) -> list[Cache]:
    """One latent and one rotary key per token and layer, and the indexer's keys."""
    rope = config.count("qk_rope_head_dim")
    caches = [Cache(CacheKind.LATENT, layers, 1, config.count("kv_lora_rank") + rope, 0, rope_dim=rope)]
    if indexed:
        caches.append(Cache(CacheKind.INDEXER, indexed, 1, config.count("index_head_dim"), 0))
    return caches


def _products(config: Fields, layers: tuple[int, ...], indexed: tuple[int, ...]) -> list[Attention]:
    """Products over the expanded heads; with an indexer, over the `index_topk` tokens it picks."""
    qk_dim = config.count("qk_nope_head_dim") + config.count("qk_rope_head_dim")
    heads, v_dim = config.count("num_attention_heads"), config.count("v_head_dim")
    if not indexed:
        return [Attention(layers, heads, qk_dim, v_dim)]
    picking = Attention(indexed, config.count("index_n_heads"), config.count("index_head_dim"), 0)
    return [Attention(layers, heads, qk_dim, v_dim, config.count("index_topk")), picking]


def _ropes(config: Fields, family: str) -> tuple[Rope, ...]:
    """One table of the rotary part; a sparse one with yarn keeps two, the indexer's beside it, in float32 (as vLLM)."""
    width = config.count("qk_rope_head_dim")
    if family in SPARSE_ATTENTION and config.maybe_sub("rope_scaling"):
        return blocks.rope_of(config, width, dtype="float32") * 2
    return blocks.rope_of(config, width)
