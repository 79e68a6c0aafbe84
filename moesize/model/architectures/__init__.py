"""The families, by the `model_type` of a configuration; a new one is a module with `build(config)` and a line here."""

from importlib import import_module

from moesize.errors import UnknownNameError
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec

#: model_type -> module of this package.
FAMILIES: dict[str, str] = {
    "afmoe": "afmoe",
    "apertus": "apertus",
    "arcee": "llama_like",
    "arctic": "arctic",
    "aya_vision": "llava",
    "baichuan": "baichuan",
    "bailing_hybrid": "bailing_hybrid",
    "bailing_moe": "bailing_moe",
    "bamba": "bamba",
    "bloom": "bloom",
    "chatglm": "chatglm",
    "cohere": "cohere",
    "cohere2": "cohere",
    "dbrx": "dbrx",
    "deepseek": "deepseek_v1",
    "deepseek_v2": "deepseek",
    "deepseek_v3": "deepseek",
    "deepseek_v32": "deepseek",
    "deepseek_v4": "deepseek_v4",
    "dots1": "dots1",
    "eagle": "eagle",
    "eagle3": "eagle3",
    "ernie4_5": "llama_like",
    "ernie4_5_moe": "ernie4_5_moe",
    "ernie4_5_moe_vl": "ernie4_5_vl_moe",
    "ernie4_5_vl_moe": "ernie4_5_vl_moe",
    "exaone": "exaone",
    "exaone4": "exaone",
    "exaone_moe": "exaone_moe",
    "falcon": "falcon",
    "falcon_h1": "bamba",
    "falcon_mamba": "mamba",
    "flex_olmo": "olmoe",
    "gemma": "gemma",
    "gemma2": "gemma",
    "gemma3": "gemma3",
    "gemma3_text": "gemma",
    "gemma3n": "gemma3n",
    "gemma3n_text": "gemma3n",
    "gemma4": "gemma4",
    "gemma4_text": "gemma4",
    "git": "grok",
    "glm": "glm",
    "glm4": "glm",
    "glm4_moe": "glm4_moe",
    "glm4_moe_lite": "deepseek",
    "glm4v": "glm4v",
    "glm4v_moe": "glm4v_moe",
    "glm_moe_dsa": "deepseek",
    "gpt2": "gpt2",
    "gpt_bigcode": "gpt2",
    "gpt_neo": "gpt_neo",
    "gpt_neox": "gpt_neox",
    "gpt_oss": "gpt_oss",
    "gptj": "gptj",
    "granite": "llama_like",
    "granitemoe": "granitemoe",
    "granitemoehybrid": "granitemoehybrid",
    "granitemoeshared": "granitemoe",
    "grok-1": "grok",
    "helium": "llama_like",
    "hunyuan": "hunyuan_moe",
    "hunyuan_v1_dense": "llama_like",
    "hunyuan_v1_moe": "hunyuan_moe",
    "hy_v3": "hy_v3",
    "internlm2": "internlm2",
    "internlm3": "llama_like",
    "internvl": "internvl",
    "jamba": "jamba",
    "jetmoe": "jetmoe",
    "kimi_k2": "deepseek",
    "kimi_k25": "kimi_k25",
    "kimi_k3": "kimi_linear",
    "kimi_linear": "kimi_linear",
    "kimi_vl": "kimi_vl",
    "laguna": "laguna",
    "lfm2": "lfm2",
    "lfm2_moe": "lfm2",
    "llama": "llama",
    "llama4": "llama4",
    "llama4_text": "llama4",
    "llava": "llava",
    "llava_next": "llava",
    "longcat_flash": "longcat_flash",
    "mamba": "mamba",
    "mamba2": "mamba",
    "mimo_v2_flash": "mimo_v2",
    "minicpm": "minicpm",
    "minicpm3": "minicpm",
    "minimax": "minimax",
    "minimax_m1": "minimax",
    "minimax_m2": "minimax_m2",
    "minimax_m3_vl": "minimax_m3",
    "minimax_text_01": "minimax",
    "ministral3": "mistral3",
    "mistral": "llama",
    "mistral3": "mistral3",
    "mistral4": "mistral4",
    "mixtral": "mixtral",
    "mllama": "mllama",
    "mpt": "mpt",
    "nemotron": "nemotron",
    "nemotron-nas": "nemotron_nas",
    "nemotron_h": "nemotron_h",
    "olmo": "olmo",
    "olmo2": "olmo",
    "olmo3": "olmo",
    "olmoe": "olmoe",
    "opt": "opt",
    "paligemma": "llava",
    "phi": "phi",
    "phi3": "phi3",
    "phi3small": "phi3small",
    "phimoe": "phimoe",
    "qwen": "qwen",
    "qwen2": "llama",
    "qwen2_5_vl": "qwen_vl",
    "qwen2_moe": "qwen_moe",
    "qwen2_vl": "qwen_vl",
    "qwen3": "llama",
    "qwen3_5": "qwen3_next",
    "qwen3_5_moe": "qwen3_next",
    "qwen3_5_moe_text": "qwen3_next",
    "qwen3_5_text": "qwen3_next",
    "qwen3_moe": "qwen_moe",
    "qwen3_next": "qwen3_next",
    "qwen3_vl": "qwen_vl",
    "qwen3_vl_moe": "qwen_vl",
    "seed_oss": "llama_like",
    "smollm3": "llama_like",
    "solar_open": "glm4_moe",
    "stablelm": "stablelm",
    "starcoder2": "starcoder2",
    "step3_text": "step3",
    "step3_vl": "step3",
    "step3p5": "step3p5",
    "step3p7": "step3p5",
    "switch_transformers": "t5",
    "t5": "t5",
    "whisper": "whisper",
    "xverse": "llama_like",
}

#: Families that are no models of their own: they draft tokens beside the model whose hidden states they read.
DRAFT_HEADS = ("eagle", "eagle3")


def build(config: Fields, *, family: str | None = None) -> ModelSpec:
    """The spec of a configuration, read by its `model_type` or as `family` when the user says so.

    Raises:
        UnknownNameError: a model_type no family reads; names the nearest ones and `--as`.
        InputError: a key that is missing or cannot be right.
    """
    wanted = family or _draft_head(config) or config.text("model_type")
    module = FAMILIES.get(wanted)
    if module is None:
        raise UnknownNameError(
            "model_type", wanted, FAMILIES, "if it is built like a known family, read it as that one with --as FAMILY"
        )
    if family is not None:
        config = Fields({**config.values, "model_type": family}, config.where)
    spec: ModelSpec = import_module(f"moesize.model.architectures.{module}").build(config)
    return spec


def _draft_head(config: Fields) -> str | None:
    """The family of a draft head, whose file names the `model_type` its one layer is like, or none of its own."""
    if config.has("speculators_model_type"):
        return config.text("speculators_model_type")
    named = config.values.get("architectures")
    names = named if isinstance(named, list) else []
    head = config.has("draft_vocab_size") or any("eagle3" in str(one).lower() for one in names)
    return "eagle3" if head else None
