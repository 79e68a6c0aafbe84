"""Dense decoders with llama's blocks: Llama, Mistral, Qwen2, Qwen3 and what is published as one (CodeLlama, Yi).

Names: transformers `models/llama`, `models/mistral`, `models/qwen2`, `models/qwen3`; the checkpoints use the same.
"""

from dataclasses import replace

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._moe import head_norms, known_types, where_layer
from moesize.model.fields import Fields
from moesize.model.spec import Attention, Cache, ModelSpec, Role, Tensor

#: What transformers' Qwen3Config fills in; its makers' files always say it.
QWEN3_HEAD_DIM = 128
#: What transformers' MistralConfig fills in.
MISTRAL_WINDOW_TOKENS = 4096

Windows = list[tuple[tuple[int, ...], int | None]]


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `llama`, `mistral`, `qwen2` or `qwen3` configuration."""
    family = config.text("model_type")
    hidden = config.count("hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    heads = config.count("num_attention_heads")
    kv_heads = config.count("num_key_value_heads", default=heads)
    head_dim = QWEN3_HEAD_DIM if family == "qwen3" else blocks.head_dim_of(config, hidden, heads)
    head_dim = config.count("head_dim", default=head_dim)
    windows = windows_of(config, family, len(layers))
    headless = any(name.endswith("Model") for name in config.texts("architectures", default=())[:1])
    tensors = _tensors(config, family, layers, heads=heads, kv_heads=kv_heads, head_dim=head_dim)
    return blocks.assemble(
        config,
        family=family,
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=_without_head(tensors) if headless else tensors,
        caches=windowed_caches(windows, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=windowed_products(windows, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(config, head_dim),
    )  # fmt: skip


def _tensors(
    config: Fields, family: str, layers: tuple[int, ...], *, heads: int, kv_heads: int, head_dim: int
) -> list[Tensor]:
    hidden = config.count("hidden_size")
    attention_bias = family in ("llama", "qwen3") and config.flag("attention_bias", default=False)
    return [
        *blocks.ends(config, hidden_size=hidden),
        *blocks.norm("model.layers.{layer}.input_layernorm", hidden, layers),
        *blocks.gqa(
            "model.layers.{layer}.self_attn", layers,
            hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            qkv_bias=attention_bias or family == "qwen2", out_bias=attention_bias,
        ),
        *(head_norms("model.layers.{layer}.self_attn", layers, head_dim) if family == "qwen3" else ()),
        *blocks.norm("model.layers.{layer}.post_attention_layernorm", hidden, layers),
        *blocks.glu_mlp(
            "model.layers.{layer}.mlp", layers,
            hidden_size=hidden, intermediate_size=config.count("intermediate_size"),
            bias=family == "llama" and config.flag("mlp_bias", default=False),
        ),
    ]  # fmt: skip


def _without_head(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors of an embedding model (`MistralModel` …): no head, and names that start at the layers."""
    return [replace(t, name=t.name.removeprefix("model.")) for t in tensors if t.role is not Role.LM_HEAD]


def windows_of(config: Fields, family: str, num_layers: int) -> Windows:
    """Which layers see everything and which a window, as the family's own configuration class decides."""
    everywhere = tuple(range(num_layers))
    if family == "mistral":
        # Left out means the class's own window; null means none.
        absent = "sliding_window" not in config.values
        return [(everywhere, MISTRAL_WINDOW_TOKENS if absent else config.maybe_count("sliding_window"))]
    if family not in ("qwen2", "qwen3") or not config.flag("use_sliding_window", default=False):
        return [(everywhere, None)]
    first_windowed = config.count("max_window_layers", minimum=0)
    types = config.layer_types(
        num_layers, ("sliding_attention" if i >= first_windowed else "full_attention" for i in everywhere)
    )
    return by_layer_type(config, types, config.maybe_count("sliding_window"))


def by_layer_type(config: Fields, types: tuple[str, ...], window_tokens: int | None) -> Windows:
    """Layers of `full_attention` and of `sliding_attention`."""
    known_types(config, types, ("full_attention", "sliding_attention"))
    return [(where_layer(types, "full_attention"), None), (where_layer(types, "sliding_attention"), window_tokens)]


def windowed_caches(windows: Windows, *, num_kv_heads: int, head_dim: int) -> list[Cache]:
    """The keys and values of layers with and without a window."""
    return [
        cache
        for layers, window in windows
        for cache in blocks.kv_cache(layers, num_kv_heads=num_kv_heads, head_dim=head_dim, window_tokens=window)
    ]


def windowed_products(windows: Windows, *, num_heads: int, head_dim: int) -> list[Attention]:
    """The attention products of layers with and without a window."""
    return [
        product
        for layers, window in windows
        for product in blocks.attention_products(layers, num_heads=num_heads, head_dim=head_dim, window_tokens=window)
    ]
