"""LLaVA and what is wrapped like it: LLaVA-NeXT, Pixtral-12B as converted, PaliGemma, Aya Vision.

Names: transformers `models/llava`, `models/llava_next`, `models/paligemma`, `models/aya_vision`; checkpoints keep the
language model under `language_model.`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _towers as towers
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Tensor

PROJECTOR = "multi_modal_projector"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `llava`, `llava_next`, `paligemma` or `aya_vision` configuration."""
    family = config.text("model_type")
    language = towers.language_model(config, config.sub("text_config"))
    vision = config.sub("vision_config")
    prefix = "vision_tower" if vision.text("model_type") == "pixtral" else "vision_tower.vision_model"
    if family == "paligemma":
        vision = Fields({"vision_use_head": False, **vision.values}, vision.where)
    eyes, width = towers.vision_tower(vision, prefix)
    joint = joints(config, family, width, language.hidden_size or 0)
    return towers.wrapped(language, family, [*eyes, *joint])


def joints(config: Fields, family: str, width: int, hidden_size: int) -> list[Tensor]:
    """What brings the tower's output to the language model."""
    if family == "paligemma":
        return blocks.linear(f"{PROJECTOR}.linear", hidden_size, width, Role.VISION, None, bias=True)
    if family == "aya_vision":
        merged = width * config.count("downsample_factor", default=2) ** 2
        inner = config.count("alignment_intermediate_size", default=hidden_size)
        return [
            *towers.as_vision(blocks.norm(f"{PROJECTOR}.layernorm", merged, None, bias=True)),
            *blocks.linear(f"{PROJECTOR}.linear_1", inner, merged, Role.VISION, None, bias=True),
            *blocks.linear(f"{PROJECTOR}.linear_2", hidden_size, inner // 2, Role.VISION, None, bias=True),
        ]
    layers_read = config.values.get("vision_feature_layer")
    if isinstance(layers_read, list):
        width *= len(layers_read)
    joint = towers.projector(
        PROJECTOR, width, hidden_size, bias=config.flag("multimodal_projector_bias", default=True)
    )  # fmt: skip
    if family == "llava_next":
        joint.append(Tensor("image_newline", (hidden_size,), Role.VISION, Kind.VECTOR))
    return joint
