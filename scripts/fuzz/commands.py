"""The command line itself: every command with every option, and sound questions whose answers must agree with each other."""

from functools import cache
from random import Random
from typing import Any

import typer.main

from moesize.cli.main import COMMANDS, build_app
from moesize.data import data_dir
from moesize.hardware.gpu import list_gpus
from moesize.quant.catalogue import list_quants
from scripts.fuzz import seeds
from scripts.fuzz.binary import as_json
from scripts.fuzz.case import Case
from scripts.fuzz.deployments import SERVER
from scripts.fuzz.mutate import HOSTILE_NUMBERS, HOSTILE_TEXT

#: Never run: it asks torch for devices. `probe` runs with --dry-run alone, which allocates nothing.
_LEFT_OUT = ("--gpu-info", "--help", "-h")
_ENGINES = ("vllm", "sglang", "llama.cpp", "tensorrt-llm", "deepspeed", "transformers")
#: Where output may go: nothing outside the case's own folder but a device that is always full.
_OUT = ("out.txt", "out.json", "no/such/out.txt", ".", "", "x" * 300, "/dev/full", "a.yaml", "out\x1b[31m.txt", "-")
_PATHS = (
    "config.json",
    ".",
    "a.yaml",
    "own.yaml",
    "prices.csv",
    "server.log",
    "missing.yaml",
    "out\x1b[2J",
    "/dev/null",
    "x" * 300,
    "a.yaml/b",
)

_DRAFTS = (
    "mtp",
    "mtp:3",
    "ngram:5",
    "eagle3:3:config.json",
    "draft_model:4:qwen3-0.6b",
    '{"method": "mtp", "num_speculative_tokens": 2}',
    '{"model": ".", "num_speculative_tokens": 1}',
    "medusa:3",
    "{" * 3000,
    "mtp:-1",
)

Parameter = tuple[tuple[str, ...], str, tuple[str, ...]]


@cache
def commands() -> dict[tuple[str, ...], tuple[Parameter, ...]]:
    """Every command by its words, with its parameters: spellings (none for arguments), kind, and choices."""
    found: dict[tuple[str, ...], tuple[Parameter, ...]] = {}
    for name in COMMANDS:
        _collect(typer.main.get_command(build_app(name)).commands[name], (name,), found)  # type: ignore[attr-defined]
    return found


def _collect(command: Any, words: tuple[str, ...], found: dict[tuple[str, ...], tuple[Parameter, ...]]) -> None:  # noqa: ANN401  the parser's own
    inner = getattr(command, "commands", None)
    if inner:
        for name, below in inner.items():
            _collect(below, (*words, name), found)
        return
    parameters = []
    for one in command.params:
        spellings = (*one.opts, *one.secondary_opts) if one.param_type_name == "option" else ()
        kind = "flag" if getattr(one, "is_flag", False) else f"{one.type.name}:{one.name}"
        if not set(spellings) & set(_LEFT_OUT):
            parameters.append((spellings, kind, tuple(getattr(one.type, "choices", ()))))
    found[words] = tuple(parameters)


@cache
def _models() -> tuple[str, ...]:
    return tuple(path.stem for path in sorted(data_dir("model_specs").glob("*.yaml")))


def _value(rng: Random, kind: str, choices: tuple[str, ...]) -> str:  # noqa: PLR0911
    """A value of a parameter: half the time one that can be right."""
    type_name, _, name = kind.partition(":")
    sound = rng.random() < 0.6
    if name in ("output_path", "save", "write_baseline", "folder"):
        return rng.choice(_OUT)
    if not sound and type_name != "path":
        return (
            str(rng.choice((*HOSTILE_TEXT, *HOSTILE_NUMBERS)))
            .replace("\0", "")
            .encode("utf-8", "replace")
            .decode()[:2000]
        )
    if choices:
        return rng.choice([str(getattr(one, "value", one)) for one in choices])
    if name in ("model", "models", "reference"):
        return rng.choice((*rng.choices(_models(), k=4), "config.json", ".", "Org/Missing", "mixtral-8x7b"))
    if name in ("gpu", "query"):
        return rng.choice(
            (*rng.choices(list_gpus(), k=3), "24GiB", "2xA10G", "g5.12xlarge", "H100", "A10G,L4", "H100:1g.10gb")
        )
    if name == "quant":
        return rng.choice((*(one.name for one in rng.choices(list_quants(), k=4)), "stored", "fp16,awq"))
    if name == "engine":
        return rng.choice(_ENGINES)
    if name == "kv_dtype":
        return rng.choice(("auto", "fp8", "bf16", "int8", "q8_0", "nvfp4"))
    if name == "speculative":
        return rng.choice(_DRAFTS)
    if name == "outputs":
        return rng.choice(
            ("json=out.json", "sarif=no/such/x", "junit=-", "text=/dev/full", "out.md", "x=y", "=", "json=")
        )
    if type_name == "integer":
        return str(rng.choice((0, 1, 1, 2, 4, 8, 64, 512, 4096, 32768, 10**6, 10**9, -1)))
    if type_name == "float":
        return str(rng.choice((0, 0.5, 0.9, 1.0, 4, 40, -1)))
    return rng.choice(_PATHS if type_name in ("path", "file") else (*_PATHS, "0.11.0", "mixtral", "price", "main"))


def command(rng: Random, index: int) -> Case:
    """A command with some of its options, in any order, some of them twice, and values that may be anything."""
    known = list(commands())
    words = known[index % len(known)]
    parts: list[list[str]] = []
    for spellings, kind, choices in commands()[words]:
        if not spellings:
            parts.append([_value(rng, kind, choices) for _ in range(rng.choice((1, 1, 1, 1, 0, 2)))])
        elif (spellings[0] == "--gpu" and rng.random() < 0.9) or rng.random() < 0.17:
            spelling = rng.choice(spellings)
            parts.append([spelling] if kind == "flag" else [spelling, _value(rng, kind, choices)])
    rng.shuffle(parts)
    line = [*words, *(word for part in parts for word in part)]
    if rng.random() < 0.05:
        line.insert(
            rng.randrange(len(line) + 1),
            rng.choice((*HOSTILE_TEXT, "--", "--version", "--nope\x1b[31m")).replace("\0", ""),
        )
    if words == ("probe",):
        line.append("--dry-run")
    files = {
        "config.json": as_json(seeds.TINY),
        "a.yaml": SERVER,
        "own.yaml": as_json(seeds.CALIBRATION),
        "prices.csv": b"instance,usd_per_hour\ng5.12xlarge,3\n",
        "server.log": seeds.logs()[index % len(seeds.logs())].encode(),
    }
    return Case(tuple(word.encode("utf-8", "replace").decode() for word in line), files)


_RELATIONS = ("context", "concurrency", "tp", "memory", "dp", "strict")


def question(rng: Random, index: int) -> Case:
    """A sound question, and the same with one thing more: a longer context, more sequences, more GPUs, a larger card."""
    model, relation = rng.choice(_models()), _RELATIONS[index % len(_RELATIONS)]
    by_layers = ("llama.cpp", "transformers")  # these give each GPU whole layers
    engine = rng.choice([one for one in _ENGINES if relation != "tp" or one not in by_layers])
    context, concurrency, tp, memory = (
        rng.choice((128, 512, 2048)),
        rng.choice((1, 2, 3, 8)),
        rng.choice((1, 2, 4)),
        rng.choice((16, 40, 80)),
    )
    gpu = f"{memory}GiB" if relation == "memory" else rng.choice(("A10G", "H100", "H200", "A100-80GB", "L40S", "B200"))
    quant = rng.choice(
        ("q4_k_m", "q8_0", "f16") if engine == "llama.cpp" else (None, None, "fp16", "fp8", "awq", "gptq-4bit")
    )

    def asked(**changed: object) -> tuple[str, ...]:
        options: dict[str, object] = {
            "--gpu": gpu,
            "--context": context,
            "--concurrency": concurrency,
            "--engine": engine,
            "--quant": quant,
        }
        if relation != "memory":
            options["--gpus" if engine in by_layers else "--tp"] = tp
        options |= {f"--{key.replace('_', '-')}": value for key, value in changed.items()}
        words = [
            word
            for key, value in options.items()
            if value is not None
            for word in ((key,) if value is True else (key, str(value)))
        ]
        return ("check", model, *words, "--format", "json")

    after: dict[str, dict[str, object]] = {
        "context": {"context": context * 2}, "concurrency": {"concurrency": concurrency * 2}, "tp": {"tp": tp * 2},
        "memory": {"gpu": f"{memory * 2}GiB"}, "dp": {"dp": 2}, "strict": {"strict": True},
    }  # fmt: skip
    return Case(asked(), then=asked(**after[relation]), relation=relation)
