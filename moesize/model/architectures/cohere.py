"""Cohere's Command and Aya: parallel attention and MLP behind one norm, a tied head; from Command R7B on with windows.

Names: transformers `models/cohere`, `models/cohere2`; the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._decoder import Decoder, alternating_windows, decoder
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Segment, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `cohere` or `cohere2` configuration."""
    family = config.text("model_type")
    dims = decoder(config, family)
    layer = "model.layers.{layer}"
    bias = config.flag("attention_bias", default=False)
    qk_norm = family == "cohere" and config.flag("use_qk_norm", default=False)
    windows = None
    if family == "cohere2":
        period = config.count("sliding_window_pattern", default=4)
        windows = alternating_windows(config, len(dims.layers), period=period, window_tokens=4096)
    return dims.finish(
        [
            *blocks.ends(config, hidden_size=dims.hidden_size, tied_by_default=True),
            *dims.norms(layer, "input_layernorm"),
            *dims.attention(f"{layer}.self_attn", qkv_bias=bias, out_bias=bias),
            *(per_head_norms(dims, f"{layer}.self_attn") if qk_norm else ()),
            *dims.glu_mlp(f"{layer}.mlp"),
        ],
        windows=windows,
    )


def per_head_norms(dims: Decoder, prefix: str) -> list[Tensor]:
    """Norms with weights of their own for every head, split with the heads."""
    sides = (("q_norm", Segment(dims.num_heads, dims.num_heads)),
             ("k_norm", Segment(dims.num_kv_heads, dims.num_kv_heads, replicable=True)))  # fmt: skip
    return [
        Tensor(
            f"{prefix}.{name}.weight", (heads.size, dims.head_dim), Role.NORM, Kind.PARAMETER, dims.layers,
            split=Split.COLUMN, segments=(heads,),
        )
        for name, heads in sides
    ]  # fmt: skip
