"""dstack services and tasks: GPUs by name, or by the memory they must have."""

import re
from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node, Position
from moesize.gate.expansion import GPU_COUNT
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.gpus import integer
from moesize.gate.launch import Container, find_launches
from moesize.gate.shell import Word
from moesize.gate.tree import Tree

_TYPES = frozenset(("service", "task", "dev-environment"))
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([GMT])i?B?(?:\.\.(?:\d+(?:\.\d+)?\s*[GMT]i?B?)?)?", re.IGNORECASE)
_COUNT = re.compile(r"(\d{1,5})(?:\.\.\d*)?")
_VENDORS = frozenset(("nvidia", "amd", "intel", "google", "tpu"))
_GIB = {"M": 1 / 1024, "G": 1.0, "T": 1024.0}


def matches(document: Document) -> bool:
    """By its type and what it runs."""
    root = document.root
    return root.text_at("type") in _TYPES and bool(root.get("commands") or root.get("image"))


def read(document: Document, tree: Tree) -> Iterator[Draft]:  # noqa: ARG001  a run configuration refers to nothing
    """One draft for every engine the commands start."""
    root = document.root
    gpu = root.get("resources", "gpu") or root.get("gpu")
    found, count = _gpus(gpu) if gpu else ((), None)
    nodes = integer(root.get("nodes"))
    variables, places = _environment(root)
    variables |= {"DSTACK_NODES_NUM": str(nodes.value if nodes else 1)}
    if count:
        total = count.value * (nodes.value if nodes else 1)
        variables |= {
            "DSTACK_GPUS_NUM": str(total),
            "DSTACK_GPUS_PER_NODE": str(count.value),
            GPU_COUNT: str(count.value),
        }
    image = root.get("image")
    commands = root.get("commands")
    scripts: list[tuple[Word, ...]] = [
        (Word("sh", c.position), Word("-c", c.position), Word(c.text or "", c.position, c.block))
        for c in (commands.elements if commands else ())
    ]
    for argv in scripts or [()]:
        name = (image.text or "") if image else ""
        container = Container(argv, root.position, name, not scripts, variables, places)
        for launch in find_launches(container):
            yield Draft(
                format="dstack",
                kind=root.text_at("type") or "",
                name=root.text_at("name") or "unnamed",
                where=launch.where,
                engine=launch.engine,
                settings=launch.settings,
                image=image,
                gpus=found,
                gpu_count=count,
                nodes=nodes,
                replicas=integer(root.get("replicas")),
            )


def _environment(root: Node) -> tuple[dict[str, str | None], dict[str, Position]]:
    variables: dict[str, str | None] = {}
    places: dict[str, Position] = {}
    env = root.get("env")
    for name, node in env.mapping.items() if env else ():
        variables[name], places[name] = node.text, node.position
    for node in env.elements if env else ():
        name, equals, value = (node.text or "").partition("=")
        variables[name], places[name] = value if equals else None, node.position
    return variables, places


def _gpus(gpu: Node) -> tuple[tuple[GpuChoice, ...], Fact[int] | None]:
    """`MI300X:8`, `24GB..80GB`, `nvidia:A100,H100:80GB:2`, or a mapping; one GPU without a count."""
    names: list[Fact[str]] = []
    memory: Fact[float] | None = None
    count: Fact[int] = Fact(1, Source.DEFAULT, gpu.position)
    for part in (gpu.text or "").split(":"):
        if match := _MEMORY.fullmatch(part.strip()):
            memory = Fact(float(match.group(1)) * _GIB[match.group(2).upper()], Source.STATED, gpu.position)
        elif match := _COUNT.fullmatch(part.strip()):
            count = Fact(int(match.group(1)), Source.STATED, gpu.position)
        elif part.strip() and part.strip().lower() not in _VENDORS:
            names += [Fact(name.strip(), Source.STATED, gpu.position) for name in part.split(",") if name.strip()]
    if gpu.mapping:
        names, memory, count = _mapped(gpu, count)
    if names:
        return tuple(GpuChoice(name, "gpu", memory_gib=memory) for name in names), count
    if memory:
        return (
            GpuChoice(Fact(f"{memory.value:g}GiB", memory.source, memory.where), "memory", memory_gib=memory),
        ), count
    return (), count


def _mapped(gpu: Node, one: Fact[int]) -> tuple[list[Fact[str]], Fact[float] | None, Fact[int]]:
    """`{name, memory, count}`."""
    stated, size, number = gpu.get("name"), gpu.get("memory"), gpu.get("count")
    nodes = (stated.elements or (stated,)) if stated else ()
    names = [Fact(node.text, Source.STATED, node.position) for node in nodes if node.text]
    memory: Fact[float] | None = None
    if size and size.text and (match := _MEMORY.match(size.text.strip())):
        memory = Fact(float(match.group(1)) * _GIB[match.group(2).upper()], Source.STATED, size.position)
    if number and number.text and (match := _COUNT.match(number.text)):
        return names, memory, Fact(int(match.group(1)), Source.STATED, number.position)
    return names, memory, one
