"""docker compose services. The GPU's type is never in such a file; how many there are sometimes is."""

import posixpath
import re
import shlex
from collections.abc import Iterator

from moesize.errors import InputError
from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node, Position
from moesize.gate.expansion import Variables, expand_compose
from moesize.gate.facts import Fact, Source
from moesize.gate.gpus import integer
from moesize.gate.launch import Container, find_launches
from moesize.gate.shell import Word
from moesize.gate.tree import Tree

_DEVICE_LIST = re.compile(r"[\w-]+(?:\s*,\s*[\w-]+)*")
_VISIBLE = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


def matches(document: Document) -> bool:
    """Services with an image or a build, and no Kubernetes kind."""
    root = document.root
    services = root.get("services")
    if services is None or root.get("kind"):
        return False
    return any(service.get("image") or service.get("build") for service in services.mapping.values())


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """One draft for every engine a service starts."""
    root = document.root
    services = root.get("services")
    outside = _dot_env(root.file, tree)
    for name, service in services.mapping.items() if services else ():
        variables, places = _environment(service, outside)
        entrypoint, command = (_words(service.get(key), outside) for key in ("entrypoint", "command"))
        image = service.get("image")
        expanded = expand_compose(image.text, outside) if image and image.text else ""
        container = Container((*entrypoint, *command), service.position, expanded, not entrypoint, variables, places)
        count, asked = _gpu_count(service, variables, outside)
        for launch in find_launches(container):
            if launch.bare and not asked:
                continue
            yield Draft(
                format="compose",
                kind="Service",
                name=name,
                where=launch.where,
                engine=launch.engine,
                settings=launch.settings,
                image=Node(expanded, image.file, image.line, image.column) if image else None,
                gpu_count=count,
                replicas=integer(service.get("deploy", "replicas")),
                annotations=service.get("labels"),
            )


def _dot_env(file: str, tree: Tree) -> dict[str, str | None]:
    try:
        data = tree.env_file(posixpath.join(posixpath.dirname(file), ".env"))
    except InputError:
        return {}
    return {name: node.text for name, node in data.items()}


def _environment(service: Node, outside: Variables) -> tuple[dict[str, str | None], dict[str, Position]]:
    variables: dict[str, str | None] = {}
    places: dict[str, Position] = {}
    env = service.get("environment")
    for name, node in env.mapping.items() if env else ():
        variables[name] = expand_compose(node.text, outside) if node.text is not None else outside.get(name)
        places[name] = node.position
    for node in env.elements if env else ():
        name, equals, value = (node.text or "").partition("=")
        variables[name] = expand_compose(value, outside) if equals else outside.get(name)
        places[name] = node.position
    return variables, places


def _words(node: Node | None, outside: Variables) -> list[Word]:
    """A list as it is; a string split as compose does, by shell quoting without a shell."""
    if node is None:
        return []
    if node.elements:
        return [Word(expand_compose(e.text or "", outside), e.position, e.block) for e in node.elements]
    if node.text is None:
        return []
    return split_words(Word(expand_compose(node.text, outside), node.position, node.block))


def split_words(word: Word) -> list[Word]:
    """The words of a command string, each at its own line where the string is a block."""
    found: list[Word] = []
    for offset, line in enumerate(word.text.splitlines()):
        where = word.where
        if word.block:
            where = Position(where.file, where.line + 1 + offset)
        try:
            found.extend(Word(text, where) for text in shlex.split(line.rstrip().removesuffix("\\")))
        except ValueError:  # a quote that closes on another line
            try:
                return [Word(text, word.where) for text in shlex.split(word.text)]
            except ValueError:
                return [Word(text, word.where) for text in word.text.split()]
    return found


def _gpu_count(service: Node, variables: Variables, outside: Variables) -> tuple[Fact[int] | None, bool]:
    """GPUs reserved, None for all there are; and whether any are."""
    devices = service.get("deploy", "resources", "reservations", "devices")
    gpus = service.get("gpus")
    for device in (*(devices.elements if devices else ()), *(gpus.elements if gpus else ())):
        capabilities = device.get("capabilities")
        if capabilities and not any((c.text or "") in ("gpu", "compute") for c in capabilities.elements):
            continue
        ids = device.get("device_ids")
        if ids:
            texts = [expand_compose(i.text or "", outside) for i in ids.elements]
            number = sum(len(text.split(",")) for text in texts if _DEVICE_LIST.fullmatch(text) and text != "all")
            return (Fact(number, Source.STATED, ids.position) if number else None), True
        return integer(device.get("count")) or _visible(variables, service), True
    asked = gpus is not None or service.text_at("runtime") == "nvidia"
    return (integer(gpus) or _visible(variables, service) if asked else None), asked


def _visible(variables: Variables, service: Node) -> Fact[int] | None:
    for name in _VISIBLE:
        value = variables.get(name)
        if value and value not in ("all", "none", "void") and _DEVICE_LIST.fullmatch(value):
            return Fact(len(value.split(",")), Source.STATED, service.position)
    return None
