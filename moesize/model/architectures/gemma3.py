"""Gemma 3 with its eyes: a SigLIP tower, a projection, and the text model of `gemma` under `language_model.`.

Names: transformers `models/gemma3`, checkpoints `google/gemma-3-*-it`.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _towers as towers
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `gemma3` configuration."""
    text = config.sub("text_config")
    language = towers.language_model(config, Fields({"model_type": "gemma3_text", **text.values}, text.where))
    eyes, width = towers.vision_tower(config.sub("vision_config"), "vision_tower.vision_model")
    prefix = "multi_modal_projector"
    # vLLM keeps this matrix as a bare parameter, whole on every rank and outside quantisation.
    joint = [
        Tensor(f"{prefix}.mm_input_projection_weight", (width, language.hidden_size or 0), Role.VISION, Kind.PARAMETER),
        *towers.as_vision(blocks.norm(f"{prefix}.mm_soft_emb_norm", width, None)),
    ]
    return towers.wrapped(language, "gemma3", [*eyes, *joint])
