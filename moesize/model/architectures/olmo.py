"""OLMo 1, 2 and 3: norms without weights, then norms behind the blocks and over whole queries and keys, then windows.

Names: transformers `models/olmo`, `models/olmo2`, `models/olmo3`; the checkpoints use the same.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe
from moesize.model.architectures._decoder import alternating_windows, decoder
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of an `olmo`, `olmo2` or `olmo3` configuration."""
    family = config.text("model_type")
    dims = decoder(config, family)
    layer = "model.layers.{layer}"
    bias = config.flag("attention_bias", default=False)
    norms: list[Tensor] = []
    if family != "olmo":
        norms = [
            *_moe.wide_norms(
                f"{layer}.self_attn", dims.layers,
                num_heads=dims.num_heads, num_kv_heads=dims.num_kv_heads, head_dim=dims.head_dim,
            ),
            *dims.norms(layer, "post_attention_layernorm", "post_feedforward_layernorm"),
        ]  # fmt: skip
    ends = blocks.ends(config, hidden_size=dims.hidden_size)
    windows = None
    if family == "olmo3":
        windows = alternating_windows(config, len(dims.layers), period=4, window_tokens=4096)
    ropes = blocks.rope_of(config, dims.head_dim)
    if windows and ropes and config.has("rope_scaling"):
        # Only layers that see everything are stretched.
        ropes = (*ropes, *blocks.rope_of(Fields({**config.values, "rope_scaling": None}, config.where), dims.head_dim))
    return dims.finish(
        [
            *(ends if family != "olmo" else (t for t in ends if t.name != "model.norm.weight")),
            *dims.attention(f"{layer}.self_attn", qkv_bias=bias, out_bias=bias),
            *norms,
            *dims.glu_mlp(f"{layer}.mlp"),
        ],
        windows=windows,
        ropes=ropes,
    )
