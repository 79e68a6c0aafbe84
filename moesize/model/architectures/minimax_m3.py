"""MiniMax-M3: grouped-query attention over blocks an indexer picks, a shared expert, a vision tower.

Names: transformers `models/minimax_m3_vl` and its conversion from `MiniMaxAI/MiniMax-M3`.
"""

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.architectures._towers import as_vision, projector
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, CacheKind, Kind, ModelSpec, Role, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `minimax_m3_vl` configuration."""
    nested = config.sub("text_config")
    text = Fields(
        {"dtype": config.values.get("dtype", config.values.get("torch_dtype")), **nested.values}, config.where
    )
    moe.refuse(text, "attention_output_gate")
    hidden = text.count("hidden_size")
    heads, kv_heads, head_dim = gqa_moe.attention_heads(text, hidden)
    num_layers = text.layer_count("num_hidden_layers")
    every = tuple(range(num_layers))
    design = gqa_moe.Design(
        hidden, heads, kv_heads, head_dim,
        intermediate_size=text.count("dense_intermediate_size"),
        moe_intermediate_size=text.count("intermediate_size"),
        experts=text.expert_count("num_local_experts"),
        per_token=text.expert_count("num_experts_per_tok"),
        shared_intermediate_size=text.count("shared_intermediate_size", default=0, minimum=0),
        qk_norm="head",
        mlp="block_sparse_moe",
        correction="e_score_correction_bias",
        expert_names=("w1", "w3", "w2"),
    )  # fmt: skip
    sparse = _flagged(text, "moe_layer_freq", num_layers)
    index = text.sub("sparse_attention_config")
    indexed = _flagged(index, "sparse_attention_freq", num_layers)
    plain = tuple(i for i in every if i not in indexed)
    prefix = "language_model.model."
    index_heads, index_dim = index.count("sparse_num_index_heads"), index.count("sparse_index_dim")
    seen = index.count("sparse_topk_blocks") * index.count("sparse_block_size")
    products = {"num_heads": heads, "head_dim": head_dim}
    return blocks.assemble(
        text,
        family="minimax_m3_vl",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *gqa_moe.ends(text, hidden, prefix=prefix, head="language_model.lm_head.weight"),
            *gqa_moe.layers_of(design, tuple(i for i in every if i not in sparse), sparse, f"{prefix}layers.{{layer}}"),
            *_indexer(f"{prefix}layers.{{layer}}.self_attn", indexed, hidden, index_heads, index_dim),
            *_vision(config, hidden),
        ],
        caches=[
            *blocks.kv_cache(every, num_kv_heads=kv_heads, head_dim=head_dim),
            *([Cache(CacheKind.INDEXER, indexed, 1, index_dim, 0)] if indexed else ()),
        ],
        attentions=[
            *blocks.attention_products(plain, **products),
            *blocks.attention_products(indexed, window_tokens=seen, **products),
            *([Attention(indexed, index_heads, index_dim, 0)] if indexed else ()),
        ],
        ropes=blocks.rope_of(text, gqa_moe.rotary_dim(text, head_dim)),
        shared_experts=text.expert_count("n_shared_experts", default=0, minimum=0),
    )


def _flagged(config: Fields, key: str, num_layers: int) -> tuple[int, ...]:
    flags = config.counts(key)
    if len(flags) != num_layers:
        raise InputError(f"{config.where}: {key} names {len(flags)} layers, but the model has {num_layers}")
    return tuple(i for i, flag in enumerate(flags) if flag)


def _indexer(prefix: str, layers: tuple[int, ...], hidden_size: int, heads: int, width: int) -> list[Tensor]:
    """The small attention that scores blocks of keys: on every rank whole."""
    role = Role.INDEXER
    return [
        *blocks.linear(f"{prefix}.index_q_proj", heads * width, hidden_size, role, layers),
        *blocks.linear(f"{prefix}.index_k_proj", width, hidden_size, role, layers),
        *(blocks.vector(f"{prefix}.index_{name}_norm.weight", width, role, layers) for name in ("q", "k")),
    ]


def _vision(config: Fields, text_hidden_size: int) -> list[Tensor]:
    """A CLIP-like tower over pairs of frames, a projector, and an MLP that merges four patches."""
    vision = config.sub("vision_config")
    hidden, heads = vision.count("hidden_size"), vision.count("num_attention_heads")
    patch = vision.count("patch_size")
    merging = vision.maybe_sub("img_token_compression_config")
    merge = merging.count("spatial_merge_size") if merging else vision.count("spatial_merge_size")
    frames = merging.count("temporal_patch_size") if merging else vision.count("temporal_patch_size")
    layers = tuple(range(vision.layer_count("num_hidden_layers")))
    tower = "vision_tower.vision_model"
    layer = f"{tower}.encoder.layers.{{layer}}"
    shape = (hidden, vision.count("num_channels", default=3), frames, patch, patch)
    width = config.count("projector_hidden_size", default=text_hidden_size)
    merged = projector("patch_merge_mlp", text_hidden_size * merge**2, text_hidden_size, bias=True)
    return [
        Tensor(f"{tower}.embeddings.patch_embedding.weight", shape, Role.VISION, Kind.CONV),
        *as_vision([
            *blocks.norm(f"{tower}.pre_layrnorm", hidden, None, bias=True),
            *blocks.norm(f"{layer}.layer_norm1", hidden, layers, bias=True),
            *blocks.norm(f"{layer}.layer_norm2", hidden, layers, bias=True),
            *blocks.gqa(
                f"{layer}.self_attn", layers, hidden_size=hidden, num_heads=heads, num_kv_heads=heads,
                head_dim=hidden // heads, qkv_bias=True, out_bias=True,
                names=("q_proj", "k_proj", "v_proj", "out_proj"),
            ),
            *blocks.plain_mlp(
                f"{layer}.mlp", layers, hidden_size=hidden, intermediate_size=vision.count("intermediate_size"),
                bias=True, names=("fc1", "fc2"),
            ),
        ]),
        *projector("multi_modal_projector", hidden, width, bias=True),
        *merged,
    ]  # fmt: skip
