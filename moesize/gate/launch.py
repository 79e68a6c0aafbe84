"""The launch line of a container or task: which engine it starts, and with which settings. Nothing is executed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from moesize.gate.document import Position
from moesize.gate.flags import DIALECTS
from moesize.gate.images import engine_of_image, nim_model
from moesize.gate.settings import Settings, give_environment, parse_flags
from moesize.gate.shell import Script, Word

_SHELLS: Final = frozenset(("sh", "bash", "ash", "dash", "zsh", "ksh"))
#: Commands that may name an engine without starting it.
_NOT_LAUNCHING: Final = frozenset(
    [
        "echo",
        "printf",
        "pip",
        "pip3",
        "apt",
        "apt-get",
        "curl",
        "wget",
        "git",
        "grep",
        "pgrep",
        "pkill",
        "kill",
        "cat",
        "sed",
        "awk",
        "hf",
        "huggingface-cli",
        "cd",
        "sleep",
        "test",
        "[",
        "[[",
        "which",
        "ls",
        "mkdir",
        "kubectl",
        "conda",
    ]
)
_CONTAINER_TOOLS: Final = frozenset(("docker", "podman", "nerdctl"))
#: How far into a command its engine may stand, behind wrappers such as `numactl`, `uv run` or `mpirun -n 8`.
_WRAPPERS: Final = 16
_MAX_DEPTH: Final = 4

_MODULES: Final[Mapping[str, str]] = {
    "sglang.launch_server": "sglang",
    "sglang_router.launch_server": "sglang",
    "dynamo.vllm": "vllm",
    "dynamo.sglang": "sglang",
    "dynamo.trtllm": "tensorrt-llm",
    "llama_cpp.server": "llama.cpp",
    "vllm.entrypoints.api_server": "vllm",
    "vllm.entrypoints.openai.api_server": "vllm",
}
_EXECUTABLES: Final[Mapping[str, str]] = {
    "text-generation-launcher": "tgi",
    "llama-server": "llama.cpp",
    "trtllm-serve": "tensorrt-llm",
}


_SUBCOMMANDS: Final = frozenset(
    ("serve", "bench", "chat", "complete", "collect-env", "run-batch", "generate", "--help")
)


@dataclass(frozen=True, slots=True)
class Launch:
    """An engine being started."""

    engine: str
    settings: Settings
    where: Position
    #: Nothing but the image says that it starts.
    bare: bool = False


@dataclass(slots=True)
class Container:
    """What a launch is read from; `argv` is the entry point and the arguments, `$(NAME)` already replaced."""

    argv: Sequence[Word]
    where: Position
    image: str = ""
    #: The image's own entry point runs: `argv` holds only its arguments.
    own_entrypoint: bool = True
    variables: dict[str, str | None] = field(default_factory=dict)
    #: Where each of the container's own variables stands.
    places: Mapping[str, Position] = field(default_factory=dict)


def find_launches(container: Container) -> list[Launch]:
    """Every engine a container starts, in order; the same model started in two branches counts once."""
    engine = engine_of_image(container.image)
    found = list(_in_argv(container.argv, container, 0))
    if not found and engine and container.own_entrypoint:
        words = list(container.argv)
        if words and words[0].text == "serve":
            words = words[1:]
        settings = Settings()
        model = parse_flags(DIALECTS[engine], words, settings)
        if model and engine == "vllm":
            settings.give("model", model[0].text, model[0].where, "", weaker=True)
        if words and not words[0].text.startswith("-") and "/" not in words[0].text:
            return []  # another command of the image
        found = [(engine, settings, words[0].where if words else container.where, False)]
    launches: dict[tuple[str, str | None], Launch] = {}
    for name, settings, where, alternative in found:
        _complete(name, settings, container)
        key = (name, settings.text("model"))
        if key in launches or (alternative and launches):
            continue
        launches[key] = Launch(name, settings, where, bare=not settings.given)
    # `ollama serve` beside `ollama pull MODEL`; the branch of a script whose arguments are put together in a loop
    with_model = {engine for engine, model in launches if model is not None}
    launches = {key: launch for key, launch in launches.items() if key[1] is not None or key[0] not in with_model}
    return list(launches.values())


_Found = tuple[str, Settings, Position, bool]


def _in_argv(argv: Sequence[Word], container: Container, depth: int) -> Iterator[_Found]:
    if not argv or depth > _MAX_DEPTH:
        return
    head = argv[0].text.rpartition("/")[2]
    if head in _SHELLS:
        at = next(
            (
                i
                for i, word in enumerate(argv)
                if i and word.text[:1] == "-" and word.text[1:2] != "-" and "c" in word.text
            ),
            0,
        )
        at += 1 if at and at + 1 < len(argv) and argv[at + 1].text == "--" else 0
        if at and at + 1 < len(argv):
            yield from _in_script(argv[at + 1], argv[at + 3 :], container, depth)
        return
    if len(argv) == 1 and any(space in argv[0].text for space in " \n"):
        yield from _in_script(argv[0], (), container, depth)
        return
    found = _match(argv, head, container.image)
    if found:
        yield (*found, False)


def _in_script(script: Word, positional: Sequence[Word], container: Container, depth: int) -> Iterator[_Found]:
    reader = Script(script.text, script.where, script.block, container.variables, positional)
    for command in reader.commands():
        for name, settings, where, alternative in _in_argv(command.words, container, depth + 1):
            yield name, settings, where, alternative or command.alternative


def _match(words: Sequence[Word], head: str, image: str) -> tuple[str, Settings, Position] | None:
    """The engine a simple command starts, and its settings."""
    if head in _NOT_LAUNCHING:
        return None
    settings = Settings()
    if head in _CONTAINER_TOOLS:
        return _match_container(words, settings)
    for i, word in enumerate(words[:_WRAPPERS]):
        if word.text.rpartition("/")[2] == "ollama":
            return _match_ollama(words, i, settings)
        started = _started(words, i, image)
        if started is None:
            continue
        engine, skipped = started
        if engine is None:
            return None
        model = parse_flags(DIALECTS[engine], words[i + skipped :], settings)
        if model and word.text != "-m" and engine != "llama.cpp":
            # The model stands first; a word further on may belong to a flag nothing here knows.
            first = model[0] is words[min(i + skipped, len(words) - 1)]
            settings.give("model", model[0].text, model[0].where, "", weaker=not first)
        return engine, settings, word.where
    return None


def _started(words: Sequence[Word], i: int, image: str) -> tuple[str | None, int] | None:
    """The engine the word at `i` starts (None: a part of it that serves nothing) and the words that took."""
    word, following = words[i].text, words[i + 1].text if i + 1 < len(words) else ""
    base = word.rpartition("/")[2]
    if word == "-m" and following in _MODULES:
        return _MODULES[following], 2
    if base in {"vllm", "sglang"} and following in _SUBCOMMANDS:
        return (base if following == "serve" else None), 2
    if base in _EXECUTABLES:
        return _EXECUTABLES[base], 2 if following == "serve" else 1
    if base.endswith("api_server.py"):
        return "vllm", 1
    if base == "server" and engine_of_image(image) == "llama.cpp":
        return "llama.cpp", 1
    return None


def _match_ollama(words: Sequence[Word], i: int, settings: Settings) -> tuple[str, Settings, Position] | None:
    verb = words[i + 1].text if i + 1 < len(words) else ""
    if verb not in ("serve", "run", "pull"):
        return None
    model = next((word for word in words[i + 2 :] if not word.text.startswith("-")), None)
    if model and verb != "serve":
        settings.give("model", model.text, model.where, verb)
    return "ollama", settings, words[i].where


def _match_container(words: Sequence[Word], settings: Settings) -> tuple[str, Settings, Position] | None:
    """`docker run … IMAGE ARGUMENTS` inside a script."""
    if not any(word.text == "run" for word in words[1:3]):
        return None
    for i, word in enumerate(words[2:], start=2):
        engine = None if word.text.startswith("-") else engine_of_image(word.text)
        if engine and ("/" in word.text or ":" in word.text) and "=" not in word.text:
            model = parse_flags(DIALECTS[engine], words[i + 1 :], settings)
            if model and engine == "vllm":
                settings.give("model", model[0].text, model[0].where, "", weaker=True)
            return engine, settings, word.where
    return None


def _complete(engine: str, settings: Settings, container: Container) -> None:
    """Add what the environment and, for NIM, the image say."""
    give_environment(DIALECTS[engine], container.variables, container.places, container.where, settings)
    if engine == "nim" and settings.last("model") is None and (model := nim_model(container.image)):
        settings.give("model", model, container.where, "image")
