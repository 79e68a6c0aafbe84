"""Mistral Small 3.1+ and Ministral 3 with images: a Pixtral tower and a projector beside the text model.

Names: transformers `models/mistral3`, checkpoints `mistralai/Mistral-Small-3.1-24B-Instruct-2503` and later. The same
`model_type` also stands over text models alone (`ministral3`), which are built like Mistral.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _towers as towers
from moesize.model.architectures import llama
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `mistral3` or `ministral3` configuration."""
    text = config.maybe_sub("text_config")
    if text is None:
        return llama.build(config)
    language = towers.language_model(config, text)
    eyes, width = towers.vision_tower(config.sub("vision_config"), "vision_tower")
    prefix = "multi_modal_projector"
    merged = width * config.count("spatial_merge_size", default=2) ** 2
    joint = [
        *towers.as_vision(blocks.norm(f"{prefix}.norm", width, None)),
        *blocks.linear(f"{prefix}.patch_merger.merging_layer", width, merged, Role.VISION, None),
        *towers.projector(
            prefix, width, language.hidden_size or 0, bias=config.flag("multimodal_projector_bias", default=False)
        ),
    ]
    return towers.wrapped(language, "mistral3", [*eyes, *joint])
