"""Every surface on which input comes in, once."""

from typing import Final

from scripts.fuzz import commands, deployments, models, texts
from scripts.fuzz.case import Surface

SURFACES: Final = (
    Surface("config", "`config.json` of every family", models.config),
    Surface(
        "quantisation", "`quantization_config` of every method, and the side files of quantisers", models.quantisation
    ),
    Surface("safetensors", "safetensors headers", models.safetensors),
    Surface("index", "safetensors indexes of checkpoints in parts", models.index_file),
    Surface("gguf", "GGUF files", models.gguf),
    Surface("model-spec", "model spec YAML, with its bases", models.model_spec),
    Surface("gpu-spec", "GPU spec YAML", texts.gpu),
    Surface("instances", "instance lists", texts.instances),
    Surface("prices", "price lists, YAML and CSV", texts.prices),
    Surface("calibration", "calibration files", texts.calibration),
    Surface("manifest", "deployment files of every format the gate reads", deployments.manifest),
    Surface("launch", "launch lines of servers, and the plain form", deployments.launch),
    Surface("policy", "gate policies and baselines", deployments.policy),
    Surface("lock", "locked specs", deployments.locked),
    Surface("log", "server logs for `observe`", texts.log),
    Surface("hub", "answers of the Hub", models.hub),
    Surface("command-line", "arguments and options of every command", commands.command),
    Surface("question", "sound questions, each with one that asks for more", commands.question),
)
