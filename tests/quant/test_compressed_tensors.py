"""compressed-tensors itself compresses a small model; its own configuration is read, and the arrays must be the same."""

import json

import pytest
import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config, preset_name_to_scheme

from moesize.errors import InputError
from moesize.model.spec import ModelSpec, Role, Tensor
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.scheme import arrays_of, module_of

PRESETS = [
    "W4A16", "W4A16_ASYM", "W3A16", "W8A16", "W8A8", "W4A8", "W4AFP8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "NVFP4",
    "NVFP4A16", "MXFP4", "MXFP4A16", "MXFP6A16", "MXFP8",
]  # fmt: skip
SHAPES = {"q_proj": (384, 512), "o_proj": (512, 384), "lm_head": (640, 512)}


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, (out, inner) in SHAPES.items():
            self.add_module(name, torch.nn.Linear(inner, out, bias=False, dtype=torch.bfloat16))


def compressed(config):
    model = Model()
    apply_quantization_config(model, config)
    for name, parameter in model.named_parameters():
        if "scale" in name:
            parameter.data.fill_(1)
        elif "zero_point" in name:
            parameter.data.fill_(0)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    # As it is written to config.json.
    settings = json.loads(compressor.quantization_config.model_dump_json())
    return model.state_dict(), settings


def spec_with(settings):
    roles = {"lm_head": Role.LM_HEAD}
    tensors = tuple(Tensor(f"{n}.weight", s, roles.get(n, Role.ATTENTION)) for n, s in SHAPES.items())
    return ModelSpec(
        name="small", source="test", architecture="test", num_layers=1, hidden_size=512, vocab_size=640,
        context_length=None, dtype="bfloat16", tensors=tensors, quantization_config=settings,
    )  # fmt: skip


def ours(spec):
    scheme = stored_scheme(spec)
    return {
        module_of(tensor) + array.suffix: (array.shape, array.dtype)
        for tensor in spec.tensors
        for part, fmt in scheme.parts(tensor)
        for array in arrays_of(part, scheme.format_of(part, fmt))
    }


def theirs(state):
    return {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in state.items()}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_stored_as_the_library_stores_it(preset):
    scheme = preset_name_to_scheme(preset, ["Linear"])
    state, settings = compressed(
        QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"], quantization_status="initialized")
    )
    assert ours(spec_with(settings)) == theirs(state)


def test_groups_and_patterns_choose_as_the_library_does():
    groups = {
        "group_0": preset_name_to_scheme("FP8_DYNAMIC", ["re:.*q_proj"]),
        "group_1": preset_name_to_scheme("W4A16", ["Linear"]),
    }
    state, settings = compressed(
        QuantizationConfig(config_groups=groups, ignore=["re:lm_h.*"], quantization_status="initialized")
    )
    spec = spec_with(settings)
    assert ours(spec) == theirs(state)
    assert stored_scheme(spec).name == "mixed-fp8-channel+w4a16"


def test_a_group_that_targets_nothing_contradicts_the_tensors():
    scheme = preset_name_to_scheme("W4A16", ["re:.*experts.*"])
    settings = json.loads(QuantizationConfig(config_groups={"group_0": scheme}).model_dump_json())
    with pytest.raises(InputError, match="group of w4a16 targets none of the model's matrices"):
        stored_scheme(spec_with(settings))
