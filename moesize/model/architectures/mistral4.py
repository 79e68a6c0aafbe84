"""Mistral Small 4's text model: DeepSeek's latent attention and experts without score corrections.

Names: transformers `models/mistral4`, whose checkpoints store experts stacked.
"""

from dataclasses import replace

from moesize.model.architectures import deepseek
from moesize.model.architectures._moe import stacked_experts
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `mistral4` configuration; no layer is dense unless the file says so."""
    defaults = {"first_k_dense_replace": 0, "topk_method": "greedy"}
    spec = deepseek.build_text(Fields({**defaults, **config.values}, config.where), family="mistral4")
    return replace(spec, tensors=tuple(stacked_experts(spec.tensors, transposed=False)))
