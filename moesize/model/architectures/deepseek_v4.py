"""DeepSeek-V4: one key-value vector for all heads, seen in a window, compressed, or both; hyper-connections.

Names: checkpoint `deepseek-ai/DeepSeek-V4-Flash` (`layers.N.attn.wq_a` …), which transformers `models/deepseek_v4`
renames; dtypes, division over ranks and compressor states as in vLLM's `models/deepseek_v4`.
"""

from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._delta import state_cache
from moesize.model.architectures._moe import mixture, not_loaded, score_correction, where_layer
from moesize.model.fields import Fields
from moesize.model.spec import (
    Attention,
    Cache,
    CacheKind,
    Kind,
    ModelSpec,
    Role,
    Rope,
    Split,
    State,
    Tensor,
)

SLIDING, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
#: The numbers of `compress_ratios`, one per layer.
RATIO_OF = {SLIDING: 0, SPARSE: 4, HEAVY: 128}
COLUMN = Split.COLUMN


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `deepseek_v4` configuration."""
    hidden = config.count("hidden_size")
    num_layers = config.layer_count("num_hidden_layers")
    types = layer_types(config, num_layers)
    layers = tuple(range(num_layers))
    hashed = tuple(range(min(num_layers, config.count("num_hash_layers", default=3, minimum=0))))
    return blocks.assemble(
        config,
        family="deepseek_v4",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *_ends(config, hidden),
            *_hyper_head(config, "", hidden),
            *_block(config, "layers.{layer}", layers, hashed),
            *_compressors(config, "layers.{layer}.attn", types),
            *not_loaded(_draft(config, hidden)),
        ],
        caches=_caches(config, types),
        attentions=_products(config, types),
        ropes=_ropes(config, types),
        shared_experts=config.count("n_shared_experts"),
    )  # fmt: skip


def layer_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    """One word per layer, from `layer_types` or from the numbers of `compress_ratios` (which go on into draft layers).

    Raises:
        InputError: a ratio or a word this family does not have, or too few of them.
    """
    if config.has("layer_types"):
        types = config.texts("layer_types")
    else:
        words = {ratio: word for word, ratio in RATIO_OF.items()}
        types = tuple(words.get(ratio, str(ratio)) for ratio in config.counts("compress_ratios"))
    for i, word in enumerate(types):
        if word not in RATIO_OF:
            raise InputError(
                f"{config.where}: layer {i} has the attention {word[:40]!r}; known are {', '.join(RATIO_OF)}"
            )
    if len(types) < num_layers:
        raise InputError(f"{config.where}: attention types of {len(types)} layers, but the model has {num_layers}")
    return types[:num_layers]


def _ratio(config: Fields, word: str) -> int:
    rates = config.maybe_sub("compress_rates")
    return rates.count(word, default=RATIO_OF[word]) if rates else RATIO_OF[word]


def _ends(config: Fields, hidden: int) -> list[Tensor]:
    vocab = config.count("vocab_size")
    tied = "embed.weight" if config.flag("tie_word_embeddings", default=False) else None
    return [
        blocks.embedding("embed.weight", vocab, hidden),
        *blocks.norm("norm", hidden, None),
        *blocks.lm_head("head.weight", vocab, hidden, tied_to=tied),
    ]


def _block(config: Fields, name: str, layers: tuple[int, ...], hashed: tuple[int, ...]) -> list[Tensor]:
    """Everything of `layers` but the compressors."""
    hidden = config.count("hidden_size")
    return [
        *blocks.norm(f"{name}.attn_norm", hidden, layers),
        *_attention(config, f"{name}.attn", hidden, layers),
        *blocks.norm(f"{name}.ffn_norm", hidden, layers),
        *_experts(config, f"{name}.ffn", hidden, layers, hashed),
        *_hyper(config, name, hidden, layers),
    ]


def _attention(config: Fields, prefix: str, hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Low-rank queries, one key-value vector, and an output projection whose first matrix is divided into groups."""
    heads, head_dim, rank = config.count("num_attention_heads"), config.count("head_dim"), config.count("q_lora_rank")
    groups, out_rank = config.count("o_groups"), config.count("o_lora_rank")
    if heads % groups:
        raise InputError(f"{config.where}: num_attention_heads {heads} is no multiple of o_groups {groups}")
    role, per_group = Role.ATTENTION, blocks.heads(groups, out_rank)
    whole = blocks.heads(heads, head_dim)
    out, into = groups * out_rank, heads // groups * head_dim
    sink = blocks.vector(
        f"{prefix}.attn_sink", heads, role, layers, split=COLUMN, segments=blocks.heads(heads, 1), dtype="float32"
    )  # fmt: skip
    return [
        *blocks.linear(f"{prefix}.wq_a", rank, hidden, role, layers),
        *blocks.norm(f"{prefix}.q_norm", rank, layers),
        *blocks.linear(f"{prefix}.wq_b", heads * head_dim, rank, role, layers, split=COLUMN, segments=whole),
        *blocks.linear(f"{prefix}.wkv", head_dim, hidden, role, layers),
        *blocks.norm(f"{prefix}.kv_norm", head_dim, layers),
        *blocks.linear(f"{prefix}.wo_a", out, into, role, layers, split=COLUMN, segments=per_group),
        *blocks.linear(f"{prefix}.wo_b", hidden, out, role, layers, split=Split.ROW, segments=per_group),
        sink,
    ]


def _compressors(config: Fields, prefix: str, types: tuple[str, ...]) -> list[Tensor]:
    """What turns several tokens into one entry, and the indexer that picks entries; whole on every rank."""
    hidden, head_dim = config.count("hidden_size"), config.count("head_dim")
    sparse, heavy = where_layer(types, SPARSE), where_layer(types, HEAVY)
    heads, width = config.count("index_n_heads"), config.count("index_head_dim")
    rank, ratio = config.count("q_lora_rank"), _ratio(config, SPARSE)
    index = f"{prefix}.indexer"
    return [
        *_compressor(f"{prefix}.compressor", sparse, ratio, hidden, head_dim, Role.ATTENTION, overlap=True),
        *_compressor(
            f"{prefix}.compressor", heavy, _ratio(config, HEAVY), hidden, head_dim, Role.ATTENTION, overlap=False
        ),
        *_compressor(f"{index}.compressor", sparse, ratio, hidden, width, Role.INDEXER, overlap=True),
        *blocks.linear(f"{index}.wq_b", heads * width, rank, Role.INDEXER, sparse),
        *blocks.linear(f"{index}.weights_proj", heads, hidden, Role.INDEXER, sparse),
    ]  # fmt: skip


def _compressor(
    prefix: str, layers: tuple[int, ...], ratio: int, hidden: int, head_dim: int, role: Role, *, overlap: bool
) -> list[Tensor]:
    width = head_dim * (2 if overlap else 1)
    return [
        Tensor(f"{prefix}.ape", (ratio, width), role, Kind.PARAMETER, layers, dtype="float32"),
        *blocks.linear(f"{prefix}.wkv", width, hidden, role, layers),
        *blocks.linear(f"{prefix}.wgate", width, hidden, role, layers),
        *blocks.norm(f"{prefix}.norm", head_dim, layers),
    ]


def _experts(
    config: Fields, prefix: str, hidden: int, layers: tuple[int, ...], hashed: tuple[int, ...]
) -> list[Tensor]:
    """Router, experts and shared experts; `hashed` layers look their experts up by token id instead of scoring."""
    experts, per_token = config.expert_count("n_routed_experts"), config.expert_count("num_experts_per_tok")
    inner, gate = config.count("moe_intermediate_size"), f"{prefix}.gate"
    scored = tuple(i for i in layers if i not in hashed)
    table = (config.count("vocab_size"), per_token)
    return [
        *mixture(
            prefix, layers,
            hidden_size=hidden, intermediate_size=inner, experts=experts, per_token=per_token,
            names=("w1", "w3", "w2"),
        ),
        *blocks.glu_mlp(
            f"{prefix}.shared_experts", layers,
            hidden_size=hidden, intermediate_size=inner * config.count("n_shared_experts"),
            role=Role.SHARED_EXPERT, names=("w1", "w3", "w2"),
        ),
        score_correction(f"{gate}.bias", (experts,), scored),
        Tensor(f"{gate}.tid2eid", table, Role.ROUTER, Kind.PARAMETER, hashed, dtype="int64", buffer=True),
    ]  # fmt: skip


def _hyper(config: Fields, name: str, hidden: int, layers: tuple[int, ...]) -> list[Tensor]:
    """The mixing of residual streams before and after attention and MLP."""
    streams = config.count("hc_mult")
    mixed = (2 + streams) * streams
    shapes = {"fn": (mixed, streams * hidden), "base": (mixed,), "scale": (3,)}
    return [
        _float32(f"{name}.hc_{place}_{part}", shape, layers)
        for place in ("attn", "ffn")
        for part, shape in shapes.items()
    ]


def _hyper_head(config: Fields, prefix: str, hidden: int, layers: tuple[int, ...] | None = None) -> list[Tensor]:
    """What joins the residual streams before the last norm."""
    streams = config.count("hc_mult")
    shapes = {"fn": (streams, streams * hidden), "base": (streams,), "scale": (1,)}
    return [_float32(f"{prefix}hc_head_{part}", shape, layers) for part, shape in shapes.items()]


def _float32(name: str, shape: tuple[int, ...], layers: tuple[int, ...] | None) -> Tensor:
    kind = Kind.PARAMETER if len(shape) > 1 else Kind.VECTOR
    return Tensor(name, shape, Role.OTHER, kind, layers, dtype="float32")


def _draft(config: Fields, hidden: int) -> list[Tensor]:
    """Draft layers: a sliding-window layer over hidden state and embedding, with its own joining of streams."""
    depth = config.count("num_nextn_predict_layers", default=0, minimum=0, maximum=1000)
    layers, name = tuple(range(depth)), "mtp.{layer}"
    if not depth:
        return []
    return [
        *_block(config, name, layers, ()),
        *_hyper_head(config, f"{name}.", hidden, layers),
        *(t for part in ("enorm", "hnorm", "norm") for t in blocks.norm(f"{name}.{part}", hidden, layers)),
        *(
            t
            for part in ("e_proj", "h_proj")
            for t in blocks.linear(f"{name}.{part}", hidden, hidden, Role.OTHER, layers)
        ),
    ]


def _caches(config: Fields, types: tuple[str, ...]) -> list[Cache]:
    """A window of key-value vectors everywhere, compressed entries and compressor states beside it."""
    head_dim, index_dim = config.count("head_dim"), config.count("index_head_dim")
    rope, window = config.count("qk_rope_head_dim"), config.count("sliding_window")
    sparse, heavy = where_layer(types, SPARSE), where_layer(types, HEAVY)
    few, many = _ratio(config, SPARSE), _ratio(config, HEAVY)
    compressed = Cache(CacheKind.COMPRESSED, (), 1, head_dim, rope_dim=rope)
    caches = [
        Cache(CacheKind.SLIDING, tuple(range(len(types))), 1, head_dim, window_tokens=window, rope_dim=rope),
        replace(compressed, layers=sparse, tokens_per_entry=few),
        Cache(CacheKind.INDEXER, sparse, 1, index_dim, tokens_per_entry=few),
        replace(compressed, layers=heavy, tokens_per_entry=many),
        *state_cache(
            sparse, "compressor",
            _pending("compressor", 2 * few, 2 * head_dim), _pending("indexer", 2 * few, 2 * index_dim),
        ),
        *state_cache(heavy, "compressor", _pending("compressor", many, head_dim)),
    ]  # fmt: skip
    return [cache for cache in caches if cache.layers]


def _pending(name: str, tokens: int, width: int) -> State:
    """Keys and scores of tokens not yet compressed, whole on every rank.

    The released inference code and vLLM keep a fixed ring of them in float32; transformers keeps as many as there are.
    """
    return State(name, (tokens, 2 * width), "float32", split_dim=None, configured_dtype="float32")


def _products(config: Fields, types: tuple[str, ...]) -> list[Attention]:
    """Products over the window and over compressed entries: all of them, or the `index_topk` the indexer picks."""
    heads, head_dim, window = (
        config.count("num_attention_heads"),
        config.count("head_dim"),
        config.count("sliding_window"),
    )
    sparse, heavy = where_layer(types, SPARSE), where_layer(types, HEAVY)
    few, many = _ratio(config, SPARSE), _ratio(config, HEAVY)
    index_heads, index_dim = config.count("index_n_heads"), config.count("index_head_dim")
    products = [
        Attention(tuple(range(len(types))), heads, head_dim, head_dim, window),
        Attention(sparse, heads, head_dim, head_dim, config.count("index_topk"), tokens_per_entry=few),
        Attention(sparse, index_heads, index_dim, 0, tokens_per_entry=few),
        Attention(heavy, heads, head_dim, head_dim, tokens_per_entry=many),
    ]
    return [product for product in products if product.layers]


def _ropes(config: Fields, types: tuple[str, ...]) -> tuple[Rope, ...]:
    """A table for the layers that compress and one for those that do not: their bases differ."""
    table = blocks.rope_of(config, config.count("qk_rope_head_dim"), dtype="float32")
    return table * len({word == SLIDING for word in types})
