"""SkyPilot tasks: accelerators (any of several), nodes, and a script that serves."""

from collections.abc import Iterator
from dataclasses import replace

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.expansion import GPU_COUNT
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.gpus import gpus_with_count, integer, named_gpu
from moesize.gate.launch import Container, find_launches
from moesize.gate.shell import Word
from moesize.gate.tree import Tree


def matches(document: Document) -> bool:
    """A task with resources or a service, and something to run."""
    root = document.root
    if root.get("kind") or root.text_at("run") is None:
        return False
    return root.get("resources") is not None or root.get("service") is not None


def read(document: Document, tree: Tree) -> Iterator[Draft]:  # noqa: ARG001  a task refers to nothing
    """One draft per engine; per number of GPUs, where the candidates have different ones."""
    root = document.root
    run = root.get("run")
    if run is None:
        return
    found = list(_choices(root.get("resources")))
    counts = list(dict.fromkeys(c.count.value if c.count else 1 for c in found)) or [0]
    depends = "SKYPILOT_NUM_GPUS_PER_NODE" in (run.text or "")
    for count in counts if depends else counts[:1]:
        matching = [c for c in found if not depends or (c.count.value if c.count else 1) == count]
        yield from _read(root, run, matching, count)


def _read(root: Node, run: Node, found: list[GpuChoice], count: int) -> Iterator[Draft]:
    nodes = integer(root.get("num_nodes"))
    variables: dict[str, str | None] = {"SKYPILOT_NUM_NODES": str(nodes.value if nodes else 1)}
    if count:
        variables |= dict.fromkeys(("SKYPILOT_NUM_GPUS_PER_NODE", GPU_COUNT), str(count))
    places = {}
    for key in ("envs", "secrets"):
        envs = root.get(key)
        for name, node in envs.mapping.items() if envs else ():
            variables[name], places[name] = node.text if key == "envs" else None, node.position
    argv = (Word("bash", run.position), Word("-c", run.position), Word(run.text or "", run.position, run.block))
    single = {c.count.value for c in found if c.count}
    for launch in find_launches(
        Container(argv, run.position, "", own_entrypoint=False, variables=variables, places=places)
    ):
        shared = next((c.count for c in found if c.count), None) if len(single) == 1 else None
        yield Draft(
            format="skypilot",
            kind="Task",
            name=root.text_at("name") or "unnamed",
            where=launch.where,
            engine=launch.engine,
            settings=launch.settings,
            gpus=tuple(replace(c, count=None) if shared else c for c in found),
            gpu_count=shared,
            nodes=nodes,
            replicas=integer(root.get("service", "replicas") or root.get("service", "replica_policy", "min_replicas")),
        )


def _choices(resources: Node | None) -> Iterator[GpuChoice]:
    if resources is None:
        return
    for key in ("any_of", "ordered"):
        alternatives = resources.get(key)
        if alternatives:
            for alternative in alternatives.elements:
                yield from _choices(alternative)
            return
    accelerators = resources.get("accelerators")
    if accelerators is None:
        instance = resources.get("instance_type")
        choice = named_gpu(instance, "instance") if instance else None
        if choice:
            yield choice
        return
    yield from _named(accelerators)


def _named(accelerators: Node) -> Iterator[GpuChoice]:
    """Every accelerator of a string, a list, a mapping or a set."""
    for name, node in accelerators.mapping.items():  # {H100: 8, A100-80GB: 8}, and the set {H100:8, A100-80GB:8}
        choice = gpus_with_count(Node(name, node.file, node.line))
        if choice:
            yield replace(choice, count=integer(node) or choice.count or _one(node))
    for node in accelerators.elements or (accelerators,):
        choice = gpus_with_count(node) if node.text else None
        if choice:
            yield choice if choice.count else replace(choice, count=_one(node))


def _one(node: Node) -> Fact[int]:
    return Fact(1, Source.DEFAULT, node.position)
