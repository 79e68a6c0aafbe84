"""Pod specs: containers, their environment and resources, and the engines they start."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from moesize.gate.assemble import Draft
from moesize.gate.document import Node, Position
from moesize.gate.expansion import GPU_COUNT, expand_kubernetes
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.flags import DIALECTS
from moesize.gate.gpus import pod_gpus, resource_gpus
from moesize.gate.launch import Container, Launch, find_launches
from moesize.gate.settings import Settings, give_config
from moesize.gate.shell import Word
from moesize.gate.tree import Tree, embedded

#: Labels that name the model for people and routers.
_MODEL_LABELS: Final = ("hf.co/model", "ai.gke.io/model", "llm-d.ai/model", "model")
_ROLES: Final = frozenset(("prefill", "decode"))


@dataclass(slots=True)
class Pod:
    """A pod template within an object, and what the object says about the pods made from it."""

    format: str
    kind: str
    namespace: str | None
    name: str
    where: Position
    spec: Node
    metadata: Node | None = None
    annotations: Node | None = None
    role: str | None = None
    nodes: Fact[int] | None = None
    replicas: Fact[int] | None = None
    #: Variables the platform sets in every container.
    platform: Mapping[str, str] = field(default_factory=dict)
    #: GPUs the object states outside the pod spec.
    gpus: tuple[GpuChoice, ...] = ()
    gpu_count: Fact[int] | None = None


def drafts(pod: Pod, tree: Tree) -> Iterator[Draft]:
    """One draft for every engine the pod's containers start; init containers only prepare."""
    containers = pod.spec.get("containers")
    for container in containers.elements if containers else ():
        yield from container_drafts(pod, container, tree)


def container_drafts(pod: Pod, container: Node, tree: Tree, extra: tuple[Word, ...] = ()) -> Iterator[Draft]:
    """The engines one container starts, `extra` arguments appended to its own."""
    variables, places = environment(container, tree, pod.platform)
    image = container.get("image")
    command, args = words(container.get("command"), variables), words(container.get("args"), variables)
    reading = Container(
        argv=(*command, *args, *extra),
        where=container.position,
        image=(image.text or "") if image else "",
        own_entrypoint=not command,
        variables=variables,
        places=places,
    )
    count, mig, device = resource_gpus(container.get("resources"))
    if counted := count or pod.gpu_count:
        variables[GPU_COUNT] = str(counted.value)
    for launch in find_launches(reading):
        if launch.bare and count is None and pod.gpu_count is None:
            continue
        join_config(launch, pod.spec, tree)
        yield Draft(
            format=pod.format,
            kind=pod.kind,
            namespace=pod.namespace,
            name=pod.name,
            container=container.text_at("name"),
            where=launch.where,
            engine=launch.engine,
            settings=launch.settings,
            role=pod.role or _role(pod.metadata),
            image=image,
            gpus=choices(pod, mig),
            gpu_count=count or pod.gpu_count,
            nodes=pod.nodes,
            replicas=pod.replicas,
            device=device,
            hints=label_hints(pod.metadata),
            annotations=pod.annotations,
        )


def words(node: Node | None, variables: Mapping[str, str | None]) -> list[Word]:
    """Arguments of a `command` or `args` list, or of a single string, with `$(NAME)` replaced."""
    if node is None:
        return []
    elements = node.elements or ([node] if node.text is not None else [])
    found: list[Word] = []
    for element in elements:
        # a mapping is what `{{ .Values.x }}` of an unrendered template parses as
        text = element.value if isinstance(element.value, str) else "{{…}}"
        found.append(Word(expand_kubernetes(text, variables), element.position, element.block))
    return found


def environment(
    container: Node, tree: Tree, platform: Mapping[str, str]
) -> tuple[dict[str, str | None], dict[str, Position]]:
    """A container's variables, None for those a secret or the cluster sets, and where each stands."""
    variables: dict[str, str | None] = dict(platform)
    places: dict[str, Position] = {}
    env_from = container.get("envFrom")
    for source in env_from.elements if env_from else ():
        name = source.text_at("configMapRef", "name")
        for key, node in tree.config_map(name, source.file).items() if name else ():
            variables[key], places[key] = node.text, node.position
    env = container.get("env")
    for name, node in env.mapping.items() if env else ():  # a mapping in kubeai and Helm values
        variables[name], places[name] = node.text, node.position
    for entry in env.elements if env else ():
        name = entry.text_at("name")
        if name is None:
            continue
        value = entry.get("value")
        if value is not None and value.text is not None:
            variables[name], places[name] = expand_kubernetes(value.text, variables), value.position
        elif (reference := entry.get("valueFrom", "configMapKeyRef")) is not None:
            data = tree.config_map(reference.text_at("name") or "", entry.file)
            found = data.get(reference.text_at("key") or "")
            variables[name] = found.text if found else None
            places[name] = found.position if found else entry.position
        elif name not in platform:
            variables[name], places[name] = None, entry.position
    return variables, places


def join_config(launch: Launch, pod: Node, tree: Tree) -> None:
    """Read the engine's config file where it is a key of a ConfigMap the pod mounts."""
    path = launch.settings.text("config_file")
    if not path:
        return
    key = path.rpartition("/")[2]
    volumes = pod.get("volumes")
    for volume in volumes.elements if volumes else ():
        name = volume.text_at("configMap", "name")
        node = tree.config_map(name, volume.file).get(key) if name else None
        config = embedded(node) if node else None
        if config:
            give_engine_config(launch.engine, config, launch.settings)
            return


def give_engine_config(engine: str, config: Node, settings: Settings) -> None:
    """Record an engine's config file, TensorRT-LLM's nested `kv_cache_config` included."""
    dialect = DIALECTS[engine]
    give_config(dialect, config, settings)
    nested = config.get("kv_cache_config")
    if nested:
        give_config(dialect, nested, settings)
        settings.give_node("kv_cache_dtype", nested.get("dtype"), "kv_cache_config.dtype", weaker=True)


def label_hints(metadata: Node | None) -> list[Fact[str]]:
    """Names the labels and annotations of an object give to the model."""
    hints: list[Fact[str]] = []
    for section in ("annotations", "labels"):
        labels = metadata.get(section) if metadata else None
        for key in _MODEL_LABELS:
            node = labels.get(key) if labels else None
            if node is not None and node.text:
                hints.append(Fact(node.text, Source.INFERRED, node.position))
    return hints


def whole_number(node: Node | None) -> int | None:
    """A small whole number of a document, for arithmetic between counts."""
    text = node.text if node else None
    return int(text) if text and text.isdecimal() and len(text) < 7 else None


def choices(pod: Pod, mig: GpuChoice | None) -> tuple[GpuChoice, ...]:
    """The GPUs of a pod; of a MIG slice, the card by its label and the slice by the resource."""
    found = pod.gpus or pod_gpus(pod.spec)
    if mig is None:
        return found
    if not found:
        return (mig,)
    return tuple(GpuChoice(c.name, c.by, c.count, mig.memory_gib, mig.mig, c.shared) for c in found)


def _role(metadata: Node | None) -> str | None:
    role = metadata.text_at("labels", "llm-d.ai/role") if metadata else None
    return role if role in _ROLES else None
