"""Step-3: the longest position in the singular, as vLLM reads it, and the layers it takes for mixtures."""

from pathlib import Path
from typing import Any

import yaml

from moesize.model.configs import spec_from_config

SPEC = Path(__file__).parents[3] / "model_specs" / "step3.yaml"


def step3_config(positions: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(SPEC.read_text(encoding="utf-8"))["config"]
    config["text_config"][positions] = config["text_config"].pop("max_position_embeddings")
    return config


def test_the_longest_position_is_read_in_either_spelling() -> None:
    plural, singular = (
        spec_from_config(step3_config(name), "config.json")
        for name in ("max_position_embeddings", "max_position_embedding")
    )
    assert singular.context_length == plural.context_length == 65536
    assert singular == plural


def mixtures(**over: Any) -> tuple[int, ...]:
    config = step3_config("max_position_embeddings")
    del config["text_config"]["moe_layers_enum"]
    config["text_config"] |= over
    return spec_from_config(config, "config.json").moe_layers


def test_without_a_list_the_configuration_class_says_which_layers_are_mixtures() -> None:
    assert mixtures() == tuple(range(4, 60))
    assert mixtures(num_hidden_layers=10) == tuple(range(4, 10))


def test_with_a_null_in_place_of_the_list_all_layers_but_the_first_are_mixtures() -> None:
    assert mixtures(moe_layers_enum=None) == tuple(range(1, 61))


def test_a_list_is_followed() -> None:
    assert mixtures(moe_layers_enum="2, 5,60,99") == (2, 5, 60)
