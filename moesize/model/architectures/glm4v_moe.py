"""GLM-4.5V and 4.6V: the GLM-4.5-Air decoder beside a vision tower.

Names: transformers `models/glm4v_moe`, checkpoint `zai-org/GLM-4.5V`.
"""

from moesize.model.architectures import _gqa_moe as gqa_moe
from moesize.model.architectures import _moe as moe
from moesize.model.architectures._glm_vision import vision_tower
from moesize.model.architectures.glm4_moe import design_of
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `glm4v_moe` configuration."""
    nested = config.sub("text_config")
    outer = {key: config.values[key] for key in ("dtype", "torch_dtype", "tie_word_embeddings") if config.has(key)}
    text = Fields({"attention_bias": True, **outer, **nested.values}, config.where)
    num_layers = text.layer_count("num_hidden_layers")
    dense, sparse = moe.first_dense(num_layers, text.count("first_k_dense_replace", minimum=0))
    return gqa_moe.decoder(
        text,
        design_of(text, with_dense=bool(dense)),
        family="glm4v_moe",
        dense=dense,
        sparse=sparse,
        shared_experts=text.expert_count("n_shared_experts", minimum=0),
        prefix="model.language_model.",
        more=vision_tower(config.sub("vision_config")),
    )
