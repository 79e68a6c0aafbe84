"""Gemma 1, 2 and 3 (text): wide heads, an embedding that is the head, and from Gemma 2 on windows in most layers.

Names: transformers `models/gemma`, `models/gemma2`, `models/gemma3` (text); the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe
from moesize.model.architectures._decoder import alternating_windows, decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Rope

#: What transformers' classes fill in; the files of Gemma 3's larger models leave these keys out.
HEAD_DIM = 256
GEMMA3_DEFAULTS = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gemma`, `gemma2` or `gemma3_text` configuration."""
    family = config.text("model_type")
    gemma3 = family.startswith("gemma3")
    if gemma3:
        given = {key: value for key, value in config.values.items() if value is not None}
        config = Fields(GEMMA3_DEFAULTS | given, config.where)
    dims = decoder(config, family, head_dim=HEAD_DIM)
    layer = "model.layers.{layer}"
    bias = config.flag("attention_bias", default=False)
    norms = ["input_layernorm", "post_attention_layernorm"]
    if family != "gemma":
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size, tied_by_default=True),
            *dims.norms(layer, *norms),
            *dims.attention(f"{layer}.self_attn", qkv_bias=bias, out_bias=bias),
            *(_moe.head_norms(f"{layer}.self_attn", dims.layers, dims.head_dim) if gemma3 else ()),
            *dims.glu_mlp(f"{layer}.mlp"),
        ],
        windows=windows(config, family, len(dims.layers)),
        ropes=gemma3_ropes(config, dims.head_dim) if gemma3 else None,
    )


def windows(config: Fields, family: str, num_layers: int) -> list[int | None]:
    """No windows in Gemma 1, every other layer of Gemma 2, five of six in Gemma 3."""
    if family == "gemma":
        return [None] * num_layers
    if family == "gemma2":
        return alternating_windows(config, num_layers, period=2, window_tokens=4096)
    period = config.count("sliding_window_pattern", "_sliding_window_pattern", default=6)
    return alternating_windows(config, num_layers, period=period)


def gemma3_ropes(config: Fields, head_dim: int) -> tuple[Rope, ...]:
    """Two tables: the full layers' own base and stretch, the windowed layers' plain one."""
    by_type = config.maybe_sub("rope_parameters")
    full = config
    if by_type and by_type.has("full_attention"):
        inner = {"rope_scaling": None, "rope_parameters": by_type.sub("full_attention").values}
        full = Fields({**config.values, **inner}, config.where)
    return (*blocks.rope_of(full, head_dim), Rope(head_dim, config.count("max_position_embeddings")))
