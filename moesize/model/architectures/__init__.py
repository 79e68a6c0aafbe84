"""The families, by the `model_type` of a configuration. Adding one is a module with `build(config)` and its line here."""

from importlib import import_module

from moesize.errors import UnknownNameError
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

#: model_type -> module of this package.
FAMILIES: dict[str, str] = {
    "chatglm": "chatglm",
    "cohere": "cohere",
    "cohere2": "cohere",
    "deepseek_v2": "deepseek",
    "deepseek_v3": "deepseek",
    "deepseek_v32": "deepseek",
    "gemma": "gemma",
    "gemma2": "gemma",
    "gemma3": "gemma3",
    "gemma3_text": "gemma",
    "glm": "glm",
    "glm4": "glm",
    "glm4_moe": "glm4_moe",
    "glm_moe_dsa": "deepseek",
    "gpt_oss": "gpt_oss",
    "kimi_k2": "deepseek",
    "llama": "llama",
    "ministral3": "mistral3",
    "mistral": "llama",
    "mistral3": "mistral3",
    "mixtral": "mixtral",
    "olmo": "olmo",
    "olmo2": "olmo",
    "olmo3": "olmo",
    "phi3": "phi3",
    "qwen2": "llama",
    "qwen2_moe": "qwen_moe",
    "qwen3": "llama",
    "qwen3_5": "qwen3_next",
    "qwen3_5_moe": "qwen3_next",
    "qwen3_5_moe_text": "qwen3_next",
    "qwen3_5_text": "qwen3_next",
    "qwen3_moe": "qwen_moe",
    "qwen3_next": "qwen3_next",
    "solar_open": "glm4_moe",
}


def build(config: Fields, *, family: str | None = None) -> ModelSpec:
    """The spec of a configuration, read by its `model_type` or as `family` when the user says so.

    Raises:
        UnknownNameError: a model_type no family reads; names the nearest ones and `--as`.
        InputError: a key that is missing or cannot be right.
    """
    wanted = family or config.text("model_type")
    module = FAMILIES.get(wanted)
    if module is None:
        raise UnknownNameError(
            "model_type", wanted, FAMILIES, "if it is built like a known family, read it as that one with --as FAMILY"
        )
    if family is not None:
        config = Fields({**config.values, "model_type": family}, config.where)
    spec: ModelSpec = import_module(f"moesize.model.architectures.{module}").build(config)
    return spec
