"""Surfaces of single files: server logs, calibrations, prices, GPU and instance files."""

import json
from random import Random

from scripts.fuzz import seeds
from scripts.fuzz.case import Case
from scripts.fuzz.mutate import HOSTILE_NUMBERS, HOSTILE_TEXT, damaged, mutated, yaml_bytes

_MARKS = (
    "Model loading took ", "GPU KV cache size: ", " GiB", "Maximum concurrency for ", "# GPU blocks: ", "ServerArgs(", "LLM engine (v",
    "tensor_parallel_size=", "max_seq_len=", "model='", "gpu_memory_utilization=", "Load weight end", "mem usage=", "out of memory. Tried",
    "KV Cache is allocated. #tokens: ", "device_name=", "quantization=", "kv_cache_dtype=", "non-default args: {",
)  # fmt: skip


def log(rng: Random, index: int) -> Case:
    """A start-up log with lines dropped, repeated, mixed with another's, and numbers and names replaced."""
    known = seeds.logs()
    lines = known[index % len(known)].split("\n")
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(lines))
        how = rng.randrange(6)
        if how == 0:
            del lines[at : at + rng.randrange(1, 4)]
            lines = lines or [""]
        elif how == 1:
            lines.insert(at, rng.choice(rng.choice(known).split("\n")))
        elif how == 2:
            words = lines[at].split(" ")
            words[rng.randrange(len(words))] = str(rng.choice((*HOSTILE_TEXT, *HOSTILE_NUMBERS[:20])))
            lines[at] = " ".join(words)
        elif how == 3:
            lines[at] += rng.choice(_MARKS) + str(rng.choice((*HOSTILE_TEXT, *HOSTILE_NUMBERS[:20], "9" * 400)))
        elif how == 4:
            lines[at] = (lines[at] * rng.choice((2, 300)))[:200_000]
        else:
            lines[at] = "".join(
                c if not c.isdigit() or rng.random() < 0.7 else rng.choice("0189٣.-") for c in lines[at]
            )
    data = "\n".join(lines).encode("utf-8", "replace")
    if rng.random() < 0.1:
        data = damaged(rng, data)
    options = rng.choice(
        (
            (),
            (),
            ("--gpu", "H100"),
            ("--as-row",),
            ("--as-row", "--gpu", "H100"),
            ("--save", "out.yaml", "--gpu", "H100"),
        )
    )
    return Case(
        ("observe", "server.log", "--offline", "--format", rng.choice(("json", "text")), *options), {"server.log": data}
    )


def calibration(rng: Random, index: int) -> Case:  # noqa: ARG001
    """A calibration file changed as a structure or as text."""
    data = yaml_bytes(rng, mutated(rng, seeds.CALIBRATION))
    words = ("check", "mixtral-8x7b", "--gpu", "A10G", "--quant", "gptq-4bit", "--calibration", "own.yaml", "--format")
    return Case((*words, rng.choice(("json", "json", "text"))), {"own.yaml": data})


def prices(rng: Random, index: int) -> Case:  # noqa: ARG001
    """A price list, YAML or CSV, changed as a structure, as text or as bytes."""
    words = ("compare", "mixtral-8x7b", "--gpu", "A10G,L4", "--format", rng.choice(("json", "text", "csv")), "--prices")
    if rng.random() < 0.5:
        return Case((*words, "prices.yaml"), {"prices.yaml": yaml_bytes(rng, mutated(rng, seeds.PRICES))})
    rows = [["instance", "usd_per_hour"], *([name, str(price)] for name, price in seeds.PRICES.items())]
    rows = (
        mutated(rng, rows)
        if rng.random() < 0.5
        else [rng.choice((row, [row[0], str(rng.choice(HOSTILE_NUMBERS))])) for row in rows]
    )
    text = (
        "\n".join(",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)
        if isinstance(rows, list)
        else str(rows)
    )
    data = text.encode("utf-8", "replace")
    return Case((*words, "prices.csv"), {"prices.csv": damaged(rng, data) if rng.random() < 0.2 else data})


def gpu(rng: Random, index: int) -> Case:
    """A GPU file changed as a structure or as text."""
    known = seeds.gpu_specs()
    value = known[index % len(known)]
    return Case(
        ("@gpu", f"{value['id']}.yaml"),
        {f"{value['id']}.yaml": yaml_bytes(rng, mutated(rng, value, rng.choice(known)))},
    )


def instances(rng: Random, index: int) -> Case:
    """A cloud's instance list changed as a structure or as text."""
    known = seeds.instances()
    value = known[index % len(known)]
    path = f"instances/{value['cloud']}.yaml"
    return Case(
        ("@instances", path),
        {path: yaml_bytes(rng, mutated(rng, value, json.loads(json.dumps(rng.choice(known), default=str))))},
    )
