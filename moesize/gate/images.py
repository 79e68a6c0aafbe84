"""What a container image tells about the engine inside: which one, which version, for NIM which model."""

import re
from typing import Final

#: First match decides; the names are repositories as published, in any registry.
_ENGINES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"text-embeddings-inference|/infinity|whisper|lora-syncer|lmstack|llm-d-routing|inference-sim"), ""),
    (re.compile(r"nvcr\.io/nim/"), "nim"),
    (re.compile(r"text-generation-inference"), "tgi"),
    (re.compile(r"sglang"), "sglang"),
    (re.compile(r"(?:llama[-.]cpp|llama-server)"), "llama.cpp"),
    (re.compile(r"ollama/ollama|/ollama(?:$|[:@])"), "ollama"),
    (re.compile(r"tensorrt-?llm|trtllm"), "tensorrt-llm"),
    (re.compile(r"vllm|rhaiis|llm-d-cuda"), "vllm"),
)
#: Their tags count something else than the engine's own version.
_FOREIGN_TAGS: Final = re.compile(r"lmcache|nvcr\.io|dynamo|rhaiis|rhel|llm-d|kaito|ray-llm|neuron|djl")
_VERSION: Final = re.compile(r"(?:^|[^\d.])v?(\d+\.\d+(?:\.\d+)?(?:\.?(?:post|rc)\d+)?)(?![\d.]*\d)")
_LLAMA_BUILD: Final = re.compile(r"\b(b\d{4,5})\b")
_CPU_BUILD: Final = re.compile(r"[-:_/]cpu(?=$|[-:_.@/])")
_NIM_MODEL: Final = re.compile(r"nvcr\.io/nim/([\w.-]+/[\w.-]+)")


def engine_of_image(image: str) -> str | None:
    """The engine an image starts by itself, or None."""
    name = image.lower().split("@", 1)[0]
    for pattern, engine in _ENGINES:
        if pattern.search(name):
            return engine or None
    return None


def is_cpu_image(image: str) -> bool:
    """Whether a build for processors only."""
    return _CPU_BUILD.search(image.lower()) is not None


def version_of_image(image: str, engine: str) -> str | None:
    """The engine's version in the image tag; None for `latest`, digests and tags that count something else."""
    if engine_of_image(image) != engine:
        return None
    name, _, tag = image.lower().split("@", 1)[0].rpartition(":")
    if not name or "/" in tag or _FOREIGN_TAGS.search(name):
        return None
    if engine == "llama.cpp":
        build = _LLAMA_BUILD.search(tag)
        return build.group(1) if build else None
    match = re.search(rf"{re.escape(engine)}[_-]v?(\d+\.\d+(?:\.\d+)?)", tag)
    if match is None and not tag[:1].isdigit() and not re.match(r"v\d", tag):
        return None
    match = match or _VERSION.search(tag)
    return match.group(1) if match else None


def nim_model(image: str) -> str | None:
    """`org/model` of a NIM image; the image is the model."""
    match = _NIM_MODEL.search(image.lower())
    return match.group(1) if match else None
