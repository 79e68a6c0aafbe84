"""NVIDIA Dynamo's DynamoGraphDeployment: a service per part, each with a main container."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.gpus import integer, resource_gpus
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, container_drafts
from moesize.gate.tree import Tree


def matches(document: Document) -> bool:
    """By kind."""
    return document.root.text_at("kind") in ("DynamoGraphDeployment", "DynamoComponentDeployment")


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """The services that start an engine; frontends and planners do not."""
    root = document.root
    services = root.get("spec", "services")
    parts = dict(services.mapping) if services else {object_name(root): root.get("spec")}
    for name, service in parts.items():
        pod_spec = service.get("extraPodSpec") if service else None
        main = pod_spec.get("mainContainer") if pod_spec else None
        if service is None or pod_spec is None or main is None:
            continue
        if service.get("envs"):
            main = _with_envs(main, service)
        count, mig, _ = resource_gpus(service.get("resources"))
        pod = Pod(
            format="dynamo",
            kind=root.text_at("kind") or "",
            namespace=root.text_at("metadata", "namespace"),
            name=object_name(root),
            where=service.position,
            spec=pod_spec,
            metadata=root.get("metadata"),
            annotations=annotations(root, service.get("extraPodMetadata")),
            role=service.text_at("subComponentType"),
            nodes=integer(service.get("multinode", "nodeCount")),
            replicas=integer(service.get("replicas")),
            gpu_count=count,
            gpus=(mig,) if mig else (),
        )
        for draft in container_drafts(pod, main, tree):
            draft.container = name
            yield draft


def _with_envs(main: Node, service: Node) -> Node:
    added, own = service.get("envs"), main.get("env")
    entries = [*(added.elements if added else ()), *(own.elements if own else ())]
    return Node({**main.mapping, "env": Node(entries, main.file, main.line)}, main.file, main.line, main.column)
