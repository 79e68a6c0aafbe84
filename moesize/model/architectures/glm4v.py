"""GLM-4.1V and 4.6V-Flash: the dense GLM-4-0414 decoder beside a vision tower.

Names: transformers `models/glm4v`; the checkpoints use the same.
"""

from dataclasses import replace

from moesize.model import architectures
from moesize.model.architectures import _glm_vision as vision
from moesize.model.architectures._towers import outer_values
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `glm4v` configuration."""
    text = config.sub("text_config")
    language = architectures.build(Fields(outer_values(config, text), text.where), family="glm4")
    inner = tuple(
        replace(t, name=_nested(t.name), tied_to=_nested(t.tied_to) if t.tied_to else None) for t in language.tensors
    )
    return replace(language, architecture="glm4v", tensors=(*inner, *vision.vision_tower(config.sub("vision_config"))))


def _nested(name: str) -> str:
    return name.replace("model.", "model.language_model.", 1)
