"""Transformers as an independent oracle: our tensors, under their checkpoint names, are loaded on the meta device by its own code.

`from_pretrained` renames, splits and fuses checkpoint tensors by its own conversion rules and then says what was missing,
what was left over and what had another shape. Nothing is allocated.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights

from moesize.model.spec import ModelSpec

transformers.utils.logging.set_verbosity(transformers.logging.CRITICAL)


def model_class(config: dict[str, Any]) -> type:
    return getattr(transformers, config["architectures"][0])


def hf_config(config: dict[str, Any]) -> transformers.PretrainedConfig:
    values = copy.deepcopy(config)
    values.pop("quantization_config", None)
    return transformers.AutoConfig.for_model(values.pop("model_type"), **values)


def meta_model(config: dict[str, Any]) -> torch.nn.Module:
    """The real class at full depth, without storage."""
    with init_empty_weights(include_buffers=True):
        return model_class(config)(hf_config(config))


def total_parameters(config: dict[str, Any]) -> int:
    """Parameters of the real class, tied weights once."""
    return sum(p.numel() for p in meta_model(config).parameters())


def meta_state_dict(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Every loaded tensor of `spec` by its checkpoint name, on the meta device."""
    state: dict[str, torch.Tensor] = {}
    for tensor in spec.tensors:
        if not tensor.loaded or tensor.tied_to:
            continue
        shape = (tensor.experts, *tensor.shape) if tensor.stacked else tensor.shape
        for layer in tensor.layers if tensor.layers is not None else (None,):
            for expert in range(tensor.experts) if "{expert}" in tensor.name else (None,):
                name = tensor.name.replace("{layer}", str(layer)).replace("{expert}", str(expert))
                assert name not in state, f"{name} stands in the inventory twice"
                state[name] = torch.empty(shape, device="meta", dtype=torch.bfloat16)
    return state


def differences(spec: ModelSpec, config: dict[str, Any]) -> list[str]:
    """What transformers misses, has left over or finds of another shape when it loads our tensors; empty when equal."""
    _, info = model_class(config).from_pretrained(
        None, config=hf_config(config), state_dict=meta_state_dict(spec), output_loading_info=True,
        device_map="meta", dtype=torch.bfloat16, ignore_mismatched_sizes=True,
    )  # fmt: skip
    return sorted(
        [f"missing {key}" for key in info["missing_keys"]]
        + [f"unexpected {key}" for key in info["unexpected_keys"]]
        + [f"mismatched {key}" for key in info["mismatched_keys"] if not _flattened(*key[1:])]
        + [f"error {message}" for message in info["error_msgs"]]
    )


def _flattened(ours: torch.Size, theirs: torch.Size) -> bool:
    """Whether experts that we stack first stand below each other in one matrix there, as in DBRX's checkpoints."""
    return len(ours) == 3 and len(theirs) == 2 and tuple(theirs) == (ours[0] * ours[1], ours[2])
