"""Step-3 spells the longest position in the singular where vLLM reads it."""

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
