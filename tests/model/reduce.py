"""Configurations made small for the oracle: fewer layers, every kind of layer still there."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]

#: Keys whose lists have one entry per layer.
PER_LAYER = (
    "layer_types",
    "mlp_layer_types",
    "indexer_types",
    "layers_block_type",
    "hybrid_override_pattern",
    "moe_layers_enum",
)

#: A class and model_type of transformers that reads the same tensors as a family it does not know by that name.
STAND_INS = {
    "kimi_k2": ("deepseek_v3", "DeepseekV3ForCausalLM"),
    "kimi_k25": ("kimi_k25", "Kimi_K25ForConditionalGeneration"),
}


def for_oracle(config: Config) -> Config:
    """`config` as transformers knows it, without the quantisation its classes would want packages for."""
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    if "text_config" in plain:
        plain["text_config"] = for_oracle(plain["text_config"])
    model_type, architecture = STAND_INS.get(config.get("model_type", ""), (None, None))
    return {**plain, "model_type": model_type, "architectures": [architecture]} if model_type else plain
