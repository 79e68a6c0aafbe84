"""Surfaces on which models come in: configurations, quantisations, weight files, spec files, the Hub."""

import copy
import json
from random import Random
from typing import Any

from scripts.fuzz import binary, seeds
from scripts.fuzz.case import Case
from scripts.fuzz.mutate import HOSTILE_TEXT, damaged, hostile, json_bytes, mutated, yaml_bytes

_GPUS = ("A10G", "H100", "24GiB", "2xH200", "g5.12xlarge")


def asked(rng: Random, model: str) -> tuple[str, ...]:
    """A question about a model: mostly whether it fits, sometimes another."""
    form = rng.choice(("json", "json", "json", "text", "markdown"))
    kind = rng.randrange(12)
    if kind == 0:
        return ("explain", model, "--offline", "--format", "json" if form == "json" else "text")
    if kind == 1:
        return (
            "compare",
            model,
            "--gpu",
            "A10G,H200",
            "--offline",
            "--format",
            rng.choice(("json", "text", "csv", "markdown")),
        )
    if kind == 2:
        return (
            "plan",
            model,
            "--gpu",
            "H100",
            "--max-gpus",
            "4",
            "--offline",
            "--format",
            "json" if form == "json" else "text",
        )
    engine = rng.choice(("vllm", "vllm", "sglang", "llama.cpp", "tensorrt-llm", "deepspeed", "transformers"))
    return ("check", model, "--gpu", rng.choice(_GPUS), "--engine", engine, "--offline", "--format", form)


def config(rng: Random, index: int) -> Case:
    """A configuration with some keys changed."""
    known = seeds.configs()
    value = mutated(rng, known[index % len(known)], rng.choice(known))
    return Case(asked(rng, "./config.json"), {"config.json": json_bytes(rng, value)})


def quantisation(rng: Random, index: int) -> Case:
    """A sound configuration whose quantization_config is changed."""
    known = seeds.QUANTISATIONS
    base = copy.deepcopy(rng.choice((seeds.TINY, *seeds.configs()[:40])))
    base.pop("quantization_config", None)
    value = mutated(rng, known[index % len(known)], rng.choice(known))
    side = rng.random()
    if side < 0.1:
        name = rng.choice(("hf_quant_config.json", "quantize_config.json", "quant_config.json"))
        return Case(asked(rng, "."), {"config.json": json.dumps(base).encode(), name: json_bytes(rng, value)})
    key = rng.choice(("quantization_config", "quantization_config", "compression_config"))
    return Case(asked(rng, "./config.json"), {"config.json": json_bytes(rng, {**base, key: value})})


def safetensors(rng: Random, index: int) -> Case:  # noqa: ARG001  every case starts from one file
    """A checkpoint's only weight file with its header changed as a structure or as bytes."""
    header, n_bytes = binary.safetensors_header(seeds.arrays())
    if rng.random() < 0.6:
        header = mutated(rng, header)
    text = json_bytes(rng, header) if rng.random() < 0.6 else binary.as_json(header)
    file = binary.safetensors_file(text, max(0, n_bytes + rng.choice((*[0] * 12, -1, 1, 8))))
    if rng.random() < 0.3:
        file = damaged(rng, file[: len(text) + 8]) + file[len(text) + 8 :]
    return Case(asked(rng, "."), {"config.json": binary.as_json(seeds.TINY), "model.safetensors": file})


def index_file(rng: Random, index: int) -> Case:  # noqa: ARG001
    """A checkpoint in two parts with its index changed."""
    arrays = list(seeds.arrays().items())
    parts = {
        "model-00001-of-00002.safetensors": dict(arrays[: len(arrays) // 2]),
        "model-00002-of-00002.safetensors": dict(arrays[len(arrays) // 2 :]),
    }
    files = {"config.json": binary.as_json(seeds.TINY)}
    for name, held in parts.items():
        header, n_bytes = binary.safetensors_header(held)
        files[name] = binary.safetensors_file(binary.as_json(header), n_bytes)
    value: Any = {
        "metadata": {"total_size": 4096},
        "weight_map": {array: name for name, held in parts.items() for array in held},
    }
    value = mutated(rng, value)
    if (
        rng.random() < 0.3
        and isinstance(value, dict)
        and isinstance(value.get("weight_map"), dict)
        and value["weight_map"]
    ):
        part = rng.choice((*HOSTILE_TEXT, "../outside/secret.safetensors", "/dev/zero", "link.safetensors", "."))
        value["weight_map"][rng.choice(list(value["weight_map"]))] = part
    files["model.safetensors.index.json"] = json_bytes(rng, value)
    if rng.random() < 0.1:
        del files[rng.choice(list(parts))]
    return Case(asked(rng, "."), files, links={"link.safetensors": "/dev/zero"} if rng.random() < 0.2 else {})


_GGUF_KEYS: list[binary.GgufKey] = [
    ("general.architecture", binary.STRING, "llama"),
    ("general.name", binary.STRING, "Small Model"),
    ("general.alignment", binary.U32, 32),
    ("general.file_type", binary.U32, 1),
    ("llama.block_count", binary.U32, 2),
    ("llama.embedding_length", binary.U32, 64),
    ("llama.context_length", binary.U32, 128),
    ("llama.attention.head_count", binary.U32, 4),
    ("llama.attention.head_count_kv", binary.ARRAY, (binary.U32, [2, 1])),
    ("llama.expert_used_count", binary.U32, 1),
    ("llama.rope.freq_base", binary.F32, 10000.0),
    ("tokenizer.ggml.tokens", binary.ARRAY, (binary.STRING, ["a", "bc", "ü"])),
]
_GGUF_TENSORS: list[binary.GgufTensor] = [
    ("token_embd.weight", [64, 32], 0),
    *((f"blk.{i}.attn_{name}.weight", [64, 64], 1) for i in range(2) for name in ("q", "k", "v", "output")),
    *((f"blk.{i}.ffn_up_exps.weight", [64, 64, 2], 1) for i in range(2)),
]
_GGUF_FAMILIES = ("llama", "qwen3moe", "deepseek2", "gpt-oss", "gemma3", "mamba", "llama4", "clip", "x\x1b[2J", "")


def gguf(rng: Random, index: int) -> Case:
    """A GGUF file with keys, tensors or bytes changed."""
    family = _GGUF_FAMILIES[index % len(_GGUF_FAMILIES)] if index % 2 else "llama"
    keys = [(k.replace("llama", family), kind, v if v != "llama" else family) for k, kind, v in _GGUF_KEYS]
    tensors = [(name, list(dims), kind) for name, dims, kind in _GGUF_TENSORS]
    for _ in range(rng.randrange(3)):
        _change_gguf(rng, keys, tensors)
    file = binary.gguf_file(keys, tensors)
    if rng.random() < 0.5:
        file = damaged(rng, file[:1200]) + file[1200:]
    return Case(asked(rng, "./small.gguf"), {"small.gguf": file})


def _change_gguf(rng: Random, keys: list[binary.GgufKey], tensors: list[binary.GgufTensor]) -> None:
    at = rng.randrange(len(keys))
    key, kind, _ = keys[at]
    how = rng.randrange(6)
    if how == 0:
        del keys[at]
    elif how == 1:
        keys.append(keys[at])
    elif how == 2 and kind == binary.U32:
        keys[at] = (key, kind, rng.choice((0, 1, 3, 2**16, 2**31, 2**32 - 1)))
    elif how == 3:
        keys[at] = (key, binary.STRING, rng.choice(HOSTILE_TEXT))
    elif how == 4:
        name, dims, type_number = tensors[rng.randrange(len(tensors))]
        tensors.append((rng.choice((name, f"{name}\x1b[2J", "blk.99.x.weight", "output.weight")), dims, type_number))
    else:
        name, dims, _ = tensors.pop(rng.randrange(len(tensors)))
        changed = [rng.choice((0, 1, d, d * 2, 2**40, 2**63)) for d in dims] * rng.choice((1, 1, 2))
        tensors.append((name, changed, rng.choice((0, 1, 2, 12, 39, 40, 999))))


def model_spec(rng: Random, index: int) -> Case:
    """A spec file changed as a structure or as text, with the base it names beside it."""
    known = seeds.model_specs()
    value = mutated(rng, known[index % len(known)], rng.choice(known))
    files = {"own.yaml": yaml_bytes(rng, value)}
    for name in _bases(known[index % len(known)], known):
        files[f"{name['name']}.yaml"] = (
            yaml_bytes(rng, mutated(rng, name)) if rng.random() < 0.3 else yaml_bytes(Random(0), name)
        )
    return Case(asked(rng, "./own.yaml"), files)


def _bases(document: dict[str, Any], known: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    found = []
    while "base" in document and len(found) < 3:
        below = next((one for one in known if one["name"] == document["base"]), None)
        if below is None:
            break
        found.append(below)
        document = below
    return found


def hub(rng: Random, index: int) -> Case:
    """A repository of the Hub with one of its files changed, or an answer that goes wrong."""
    arrays = seeds.arrays()
    header, n_bytes = binary.safetensors_header(arrays)
    value, names = copy.deepcopy(seeds.TINY), list(arrays)
    served = {
        "config.json": binary.as_json(value),
        "model.safetensors": binary.safetensors_file(binary.as_json(header), n_bytes),
    }
    if rng.random() < 0.5:
        served["model.safetensors.index.json"] = json_bytes(
            rng, mutated(rng, {"metadata": {}, "weight_map": dict.fromkeys(names, "model.safetensors")})
        )
        if rng.random() < 0.8:
            served["model-00001-of-00001.safetensors"] = served.pop("model.safetensors")
    which = rng.choice(list(served))
    if which == "config.json":
        served[which] = json_bytes(rng, mutated(rng, value, rng.choice(seeds.configs())))
    elif rng.random() < 0.7:
        served[which] = damaged(rng, served[which][:2000]) + served[which][2000:]
    faults = ("truncated", "no range", "redirect", "loop", "gated", "404", "416", "429", "500", "503", "endless")
    fault = {rng.choice(list(served)): rng.choice(faults)} if rng.random() < 0.3 else {}
    repository = f"Fuzz/model-{index}"
    if rng.random() < 0.1:
        served[rng.choice(HOSTILE_TEXT)] = json.dumps(hostile(rng), default=str).encode()
    words = tuple(word for word in asked(rng, repository) if word != "--offline")
    return Case(words, repository=repository, served=served, faults=fault)
