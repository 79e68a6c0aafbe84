"""What is mutated: the catalogue, the manifests and logs of the tests, and one small file of every other kind."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from moesize.data import data_dir
from moesize.model.configs import spec_from_config
from moesize.model.spec_file import merged_config, read_document

TESTS = Path(__file__).parents[2] / "tests"

TINY = {
    "model_type": "mixtral", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 32, "num_local_experts": 4, "num_experts_per_tok": 2, "vocab_size": 32, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "torch_dtype": "bfloat16", "architectures": ["MixtralForCausalLM"],
}  # fmt: skip

#: One configuration or more of every quantisation method, as its library writes them.
QUANTISATIONS: tuple[dict[str, Any], ...] = (
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True, "lm_head": False},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {r"+:.*layers\.1\..*": {"bits": 8}, r"-:.*attn.*": {}}},
    {"quant_method": "auto-round", "bits": 4, "group_size": 32, "extra_config": {"lm_head": {"bits": 16}}},
    {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "modules_to_not_convert": ["gate"]},
    {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic", "ignored_layers": ["lm_head"]},
    {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["model.layers.0"]},
    {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]},
    {"quant_method": "mxfp8", "group_size": 32},
    {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}, "skip_modules": ["lm_head"]},
    {"quant_method": "quanto", "weights": "int4", "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}}},
    {"quant_method": "eetq", "weights": "int8"},
    {"quant_method": "aqlm", "num_codebooks": 2, "nbits_per_codebook": 8, "in_group_size": 8},
    {"quant_method": "exl2", "bits": 4.65, "head_bits": 6},
    {"quant_method": "exl3", "bits": 3.5, "head_bits": 6},
    {"quant_method": "gguf", "file_type": "Q4_K_M"},
    {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head", "re:.*gate$"],
        "config_groups": {
            "group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128}}
        },
    },
    {
        "quant_method": "quark", "exclude": ["lm_head"],
        "global_quant_config": {"weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32}},
    },
    {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head", "model.layers.1*"]},
    {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": {"model.layers.0.mlp": {"quant_algo": "FP8"}}},
)  # fmt: skip

POLICY = """fail-on = "warning"
gpu = "H100-80GB"
context = 4096
concurrency = 2
min-headroom = "5%"
allowed-gpus = ["H100-80GB", "L40S"]
max-price = 12.5
baseline = "baseline.json"
pools = { "gpu-large" = "H200" }
models = { "/models/main" = "mixtral-8x7b" }
levels = { tight = "error", wasteful = "off" }

[[override]]
paths = ["deploy/**", "*.yaml"]
context = 2048

[[ignore]]
rule = "wasteful"
paths = ["*.yaml"]
object = "Deployment/*"
reason = "latency target"
until = 2027-01-31
"""

BASELINE = {
    "schema": "moesize.baseline/1",
    "findings": {"a.yaml": [{"object": "Deployment/x", "rules": ["does-not-load"]}]},
}

CALIBRATION = {
    "schema": "moesize.calibration/1", "made_by": "moesize probe", "date": "2026-11-01", "device": "NVIDIA A10G", "engine": "vllm 0.11",
    "terms": [
        {"term": "CUDA context", "bytes": 500_000_000, "low_bytes": 400_000_000, "high_bytes": 600_000_000},
        {"term": "activations", "bytes": 900_000_000, "only_for": {"model": "mixtral-8x7b", "tp": 1}},
    ],
}  # fmt: skip

PRICES = {"g5.12xlarge": 4.5, "p4d.24xlarge": 20, "g6.xlarge": 0.7}


@cache
def configs() -> tuple[dict[str, Any], ...]:
    """One configuration of every kind in the catalogue."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(data_dir("model_specs").glob("*.yaml")):
        document = read_document(path)
        if "config" in document or "base" in document:
            config = merged_config(document, path)
            found.setdefault(config["model_type"], config)
    return tuple(found.values())


@cache
def model_specs() -> tuple[dict[str, Any], ...]:
    """Spec files of every shape: with a configuration, a base, counts, or nothing disclosed."""
    documents = [read_document(path) for path in sorted(data_dir("model_specs").glob("*.yaml"))]
    by_keys = {tuple(sorted(d)): d for d in documents}
    kinds = {
        d["config"]["model_type"]: d
        for d in documents
        if isinstance(d.get("config"), dict) and "model_type" in d["config"]
    }
    return (*by_keys.values(), *kinds.values())


@cache
def gpu_specs() -> tuple[dict[str, Any], ...]:
    """Every GPU file."""
    return tuple(_yaml(path) for path in sorted(data_dir("gpu_specs").glob("*.yaml")))


@cache
def instances() -> tuple[dict[str, Any], ...]:
    """The instance lists of the clouds, each cut to a few lines."""
    found = [_yaml(path) for path in sorted((data_dir("gpu_specs") / "instances").glob("*.yaml"))]
    return tuple({**cloud, "instances": cloud["instances"][:6]} for cloud in found)


@cache
def manifests() -> dict[str, tuple[Mapping[str, bytes], ...]]:
    """The manifests of the tests by format, each a tree of files."""
    found: dict[str, list[Mapping[str, bytes]]] = {}
    for kind in sorted((TESTS / "gate" / "manifests").iterdir()):
        for subject in sorted(kind.iterdir()):
            if subject.is_dir():
                files = {
                    p.relative_to(subject).as_posix(): p.read_bytes() for p in sorted(subject.rglob("*")) if p.is_file()
                }
                found.setdefault(kind.name, []).append(files)
            elif not subject.name.endswith(".expect.yaml"):
                found.setdefault(kind.name, []).append({subject.name: subject.read_bytes()})
    return {kind: tuple(trees) for kind, trees in found.items()}


@cache
def logs() -> tuple[str, ...]:
    """Start-up logs of every version that is read."""
    return tuple(one["log"] for one in _yaml(TESTS / "observe" / "excerpts.yaml"))


@cache
def arrays() -> dict[str, tuple[str, list[int]]]:
    """The arrays a checkpoint of `TINY` holds: name -> dtype and shape."""
    found: dict[str, tuple[str, list[int]]] = {}
    for tensor in spec_from_config(TINY, "tiny").tensors:
        for layer in tensor.layers or (0,):
            for expert in range(tensor.experts or 1):
                name = tensor.name.replace("{layer}", str(layer)).replace("{expert}", str(expert))
                found[name] = ("BF16", list(tensor.shape))
    return found


def _yaml(path: Path) -> Any:  # noqa: ANN401  whatever the file holds
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
