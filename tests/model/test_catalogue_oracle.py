"""Every model of the catalogue against the real class in transformers: parameter totals, tensor names and shapes."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers

from moesize.data import data_dir
from moesize.model.configs import spec_from_config
from moesize.model.figures import agrees, own_count
from moesize.model.spec import ModelSpec
from moesize.model.spec_file import load_spec_file, merged_config, read_document

HERE = Path(__file__).parent


def _beside(name: str):
    """A helper module of this directory: with importlib mode it is on no path."""
    spec = importlib.util.spec_from_file_location(f"moesize_tests_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


oracle, reduce = _beside("oracle"), _beside("reduce")

#: Architectures transformers has no class for, each looked at: remote code, or a model of the same name that is another.
#: Their totals are checked against published figures instead.
NO_CLASS = {
    "ArcticForCausalLM", "BaichuanForCausalLM", "BailingMoeForCausalLM", "BailingMoeV2ForCausalLM", "ChatGLMModel",
    "DeciLMForCausalLM", "DeepseekForCausalLM", "Eagle3DraftModel", "Eagle3Speculator",
    "EagleLlamaForCausalLM", "ExaoneForCausalLM", "Grok1ForCausalLM", "Grok1ModelForCausalLM", "HunYuanForCausalLM",
    "InternLM2ForCausalLM", "InternLM3ForCausalLM", "KimiK3ForConditionalGeneration",
    "KimiVLForConditionalGeneration", "LlamaForCausalLMEagle3", "MiniCPMForCausalLM", "Phi3SmallForCausalLM",
    "QWenLMHeadModel", "Step3VLForConditionalGeneration", "Step3p5ForCausalLM", "XverseForCausalLM",
}  # fmt: skip

#: Architectures whose class cannot be built here: Gemma 3n's towers are those of timm, a package of its own.
NOT_BUILT = {"Gemma3nForConditionalGeneration"}

#: Models whose class is not what their checkpoint holds.
CLASS_DIFFERS = {
    "eagle3-kimi-k2.6": "a draft head of this model_type: the class is that of the whole model",
    "switch-xxl-128": "the class has no gate in its feed-forward, the checkpoint does",
}

#: Of these no count was printed that could be reproduced either: the reason stands in the spec file.
NO_FIGURE = {"grok-1", "eagle3-llama-3.1-8b"}

#: Constants a class keeps as buffers and works out itself: no checkpoint stores them.
COMPUTED = re.compile(r"missing .*\.(slope_rate|query_decay|key_decay|diagonal_decay|act_fn\.beta|act_fn\.eps)")


@pytest.fixture(autouse=True)
def _no_initial_values(monkeypatch):
    """Tensors on the meta device hold no values: drawing random ones for them is most of the time it takes."""
    for layer in (torch.nn.Linear, torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d):
        monkeypatch.setattr(layer, "reset_parameters", lambda _: None)


@cache
def configs() -> dict[str, dict]:
    found = {}
    for path in sorted(data_dir("model_specs").glob("*.yaml")):
        document = read_document(path)
        if "config" in document or "base" in document:
            config = merged_config(document, path)
            found[path.stem] = {**config, **({"model_type": document["family"]} if "family" in document else {})}
    return found


def has_class(config: dict) -> bool:
    known = reduce.for_oracle(config)
    if known["architectures"][0] in NOT_BUILT:
        return False
    return known["model_type"] in transformers.CONFIG_MAPPING and hasattr(transformers, known["architectures"][0])


def with_oracle() -> list[str]:
    return [name for name, config in configs().items() if name not in CLASS_DIFFERS and has_class(config)]


def shapes() -> list[str]:
    """One model of each shape: quantised and renamed copies differ in nothing the oracle sees."""
    by_shape: dict[str, str] = {}
    for name in with_oracle():
        by_shape.setdefault(reduce.shape_key(configs()[name]), name)
    return sorted(by_shape.values())


def structures() -> list[str]:
    """One model of each set of tensors: its siblings differ in sizes alone, which the totals at full depth settle."""
    by_names: dict[tuple, str] = {}
    for name in shapes():
        config = configs()[name]
        tensors = {(t.name, len(t.shape), t.transposed, t.tied_to) for t in spec_of(config, name).tensors}
        by_names.setdefault((config["model_type"], config["architectures"][0], frozenset(tensors)), name)
    return sorted(by_names.values())


def spec_of(config: dict, name: str) -> ModelSpec:
    return spec_from_config(config, name)


def test_architectures_without_an_oracle_are_the_reviewed_ones():
    without = {config["architectures"][0] for config in configs().values() if not has_class(config)}
    assert without == NO_CLASS | NOT_BUILT
    assert CLASS_DIFFERS.keys() <= configs().keys()


def test_models_without_an_oracle_reproduce_a_published_count():
    alone = configs().keys() - with_oracle()
    assert alone >= NO_FIGURE
    for name in sorted(alone - NO_FIGURE):
        spec = load_spec_file(data_dir("model_specs") / f"{name}.yaml")
        assert [f for f in spec.published if agrees(f, own_count(spec, f.what))], f"{name}: nothing to check it by"


@pytest.mark.parametrize("name", shapes())
def test_total_parameters_are_those_of_the_real_class_at_full_depth(name):
    config = reduce.comparable(configs()[name])
    assert spec_of(config, name).params.total == oracle.total_parameters(reduce.for_oracle(config))


@pytest.mark.parametrize("name", structures())
def test_tensors_load_into_the_real_class_by_name_and_shape(name):
    config = configs()[name]
    small = reduce.fewer_layers(config, spec_of(config, name))
    differences = oracle.differences(spec_of(small, name), reduce.for_oracle(small))
    assert [line for line in differences if not COMPUTED.fullmatch(line)] == []
