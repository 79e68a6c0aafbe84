"""Kimi K2.5 and later: the DeepSeek-V3 decoder under `language_model.`, beside a vision tower.

Names: checkpoint `moonshotai/Kimi-K2.5` as transformers' conversion of `kimi_k25` reads them.
"""

from dataclasses import replace

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import deepseek
from moesize.model.architectures._moonvit import Tower, layer_norm, moonvit
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `kimi_k25` configuration: `text_config` and `vision_config`."""
    text = config.sub("text_config")
    spec = deepseek.build_text(text, prefix="language_model.", family="deepseek_v3")
    tower = _vision(config.sub("vision_config"), text.count("hidden_size"))
    return replace(
        spec,
        architecture="kimi_k25",
        source=config.where,
        dtype=config.dtype(default=spec.dtype),
        tensors=(*spec.tensors, *tower),
    )


def _vision(config: Fields, text_size: int) -> list[Tensor]:
    """The tower and its projector."""
    tower = Tower(
        width=config.count("vt_hidden_size"),
        inner=config.count("vt_intermediate_size"),
        layers=config.layer_count("vt_num_hidden_layers"),
        heads=config.count("vt_num_attention_heads"),
        patch=config.count("patch_size"),
        positions=(config.count("init_pos_emb_height"), config.count("init_pos_emb_width")),
        merged=config.counts("merge_kernel_size", default=(2, 2), minimum=1, length=2),
    )
    width, projector = config.count("mm_hidden_size"), "mm_projector"
    joined = tower.joined(width)
    return [
        *moonvit(tower),
        *layer_norm(f"{projector}.pre_norm", width, None),
        *blocks.linear(f"{projector}.proj.0", joined, joined, Role.VISION, None, bias=True),
        *blocks.linear(f"{projector}.proj.2", text_size, joined, Role.VISION, None, bias=True),
    ]
