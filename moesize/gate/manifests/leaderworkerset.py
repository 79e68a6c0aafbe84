"""LeaderWorkerSet and RoleBasedGroup: one model over the pods of a group, started by its leader or by every member."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.gpus import integer
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, drafts
from moesize.gate.tree import Tree

KINDS = frozenset(("LeaderWorkerSet", "RoleBasedGroup"))


def matches(document: Document) -> bool:
    """By kind."""
    return document.root.text_at("kind") in KINDS


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """One draft per group: the leader's, or the workers' where the leader starts nothing."""
    root = document.root
    template = root.get("spec", "leaderWorkerTemplate")
    if template:
        yield from _group(root, root.get("spec"), template, "LWS_GROUP_SIZE", None, tree)
    roles = root.get("spec", "roles")
    for role in roles.elements if roles else ():
        name = role.text_at("name")
        for pattern in ("leaderWorkerPattern", "leaderWorkerSet", "standalonePattern"):
            found = role.get(pattern)
            if found:
                yield from _group(root, role, found, "RBG_LWP_GROUP_SIZE", name, tree)
                break
        else:
            yield from _group(root, role, role, "RBG_LWP_GROUP_SIZE", name, tree)


def _group(
    root: Node, counted: Node | None, template: Node, variable: str, role: str | None, tree: Tree
) -> Iterator[Draft]:
    size = integer(template.get("size"))
    for key in ("leaderTemplate", "workerTemplate", "template"):
        pod_template = template.get(key)
        spec = pod_template.get("spec") if pod_template else None
        if pod_template is None or spec is None:
            continue
        metadata = pod_template.get("metadata")
        pod = Pod(
            format="leaderworkerset",
            kind=root.text_at("kind") or "",
            namespace=root.text_at("metadata", "namespace"),
            name=object_name(root),
            where=root.position,
            spec=spec,
            metadata=metadata,
            annotations=annotations(root, metadata),
            role=role,
            nodes=size,
            replicas=integer(counted.get("replicas")) if counted else None,
            platform={variable: str(size.value)} if size else {},
        )
        found = list(drafts(pod, tree))
        if found:
            yield from found
            return
