"""Kimi-VL: the decoder of Moonlight under `language_model.`, beside a MoonViT tower and a projector of two matrices.

Names: checkpoint `moonshotai/Kimi-VL-A3B-Instruct` as vLLM 0.33 `models/kimi_vl.py` and `models/moonvit.py` read it.
The tower's defaults are those of `transformers_utils/configs/moonvit.py`.
"""

from dataclasses import replace

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import deepseek
from moesize.model.architectures._moonvit import Tower, layer_norm, moonvit
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `kimi_vl` configuration: `text_config` and `vision_config`."""
    text = config.sub("text_config")
    spec = deepseek.build_text(text, prefix="language_model.", family="deepseek_v3")
    tower = _tower(config.sub("vision_config"))
    return replace(
        spec,
        architecture="kimi_vl",
        source=config.where,
        dtype=config.dtype(default=spec.dtype),
        tensors=(*spec.tensors, *moonvit(tower), *_projector(tower, text.count("hidden_size"))),
    )


def _tower(config: Fields) -> Tower:
    return Tower(
        width=config.count("hidden_size", default=1152),
        inner=config.count("intermediate_size", default=4304),
        layers=config.layer_count("num_hidden_layers", default=27),
        heads=config.count("num_attention_heads", default=16),
        patch=config.count("patch_size", default=14),
        positions=(config.count("init_pos_emb_height", default=64), config.count("init_pos_emb_width", default=64)),
        merged=config.counts("merge_kernel_size", default=(2, 2), minimum=1, length=2),
    )


def _projector(tower: Tower, text_size: int) -> list[Tensor]:
    """Whole on every rank."""
    name, joined = "multi_modal_projector", tower.joined(tower.width)
    return [
        *layer_norm(f"{name}.pre_norm", tower.width, None),
        *blocks.linear(f"{name}.linear_1", joined, joined, Role.VISION, None, bias=True),
        *blocks.linear(f"{name}.linear_2", text_size, joined, Role.VISION, None, bias=True),
    ]
