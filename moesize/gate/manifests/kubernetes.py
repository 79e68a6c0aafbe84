"""Kubernetes workloads of any kind: every pod spec in the object, wherever the kind puts it.

Deployment, StatefulSet, Job, CronJob, DaemonSet, ReplicaSet, Pod, and custom kinds without a reader of their own.
"""

from collections.abc import Iterator
from typing import Final

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, Source
from moesize.gate.gpus import integer
from moesize.gate.pods import Pod, drafts, whole_number
from moesize.gate.tree import Tree

#: Kinds that hold pod specs nobody runs by themselves, or none at all.
_NOT_RUNNING: Final = frozenset(
    [
        "ServingRuntime",
        "ClusterServingRuntime",
        "LLMInferenceServiceConfig",
        "ConfigMap",
        "Secret",
        "Service",
        "PodTemplate",
        "CustomResourceDefinition",
        "Kustomization",
        "Namespace",
        "Ingress",
        "HTTPRoute",
    ]
)
#: Their replicas are the nodes of one model when the launch says `--nnodes`.
_ORDERED: Final = frozenset(("StatefulSet", "Job"))


def matches(document: Document) -> bool:
    """An object with a kind and an API version."""
    return bool(document.root.text_at("kind") and document.root.text_at("apiVersion"))


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """One draft for every engine in every pod spec."""
    kind = document.root.text_at("kind") or ""
    if kind in _NOT_RUNNING:
        return
    for pod in pods(document, "kubernetes"):
        for draft in drafts(pod, tree):
            if kind in _ORDERED:
                _replicas_as_nodes(draft)
            yield draft


def pods(document: Document, format_name: str) -> Iterator[Pod]:
    """Every mapping with `containers`, with the metadata and the replicas nearest above it."""
    root = document.root
    for spec, above in _pod_specs(root):
        template = above[-1] if above else root
        metadata = template.get("metadata") if template is not root else root.get("metadata")
        replicas = next((found for node in reversed(above) if (found := integer(node.get("replicas")))), None)
        yield Pod(
            format=format_name,
            kind=root.text_at("kind") or "",
            namespace=root.text_at("metadata", "namespace"),
            name=object_name(root),
            where=root.position,
            spec=spec,
            metadata=metadata,
            annotations=annotations(root, metadata),
            replicas=replicas,
        )


def object_name(root: Node) -> str:
    """`metadata.name`, or what it begins with."""
    return root.text_at("metadata", "name") or root.text_at("metadata", "generateName") or "unnamed"


def annotations(root: Node, metadata: Node | None = None) -> Node | None:
    """Annotations of the pod template on top of the object's."""
    outer, inner = root.get("metadata", "annotations"), metadata.get("annotations") if metadata else None
    if outer is None or inner is None or outer is inner:
        return inner or outer
    return Node({**outer.mapping, **inner.mapping}, inner.file, inner.line, inner.column)


def _pod_specs(root: Node) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    stack: list[tuple[Node, tuple[Node, ...]]] = [(root, ())]
    while stack:
        node, above = stack.pop()
        if isinstance(node.value, dict):
            containers = node.value.get("containers")
            if containers is not None and any(
                element.get("image") or element.get("command") or element.get("args") for element in containers.elements
            ):
                yield node, above
                continue
            children = [child for child in node.value.values() if not isinstance(child.value, str)]
        else:
            children = [child for child in node.elements if not isinstance(child.value, str)]
        stack.extend((child, (*above, node)) for child in reversed(children))


def _replicas_as_nodes(draft: Draft) -> None:
    given = draft.settings.last("nodes")
    nodes = whole_number(Node(given.text, "")) if given else None
    if given is None or nodes is None or nodes < 2:
        return
    draft.nodes = Fact(nodes, Source.STATED, given.where)
    if draft.replicas and draft.replicas.value % nodes == 0:
        draft.replicas = Fact(draft.replicas.value // nodes, Source.INFERRED, draft.replicas.where)
