"""AIBrix: StormService roles and ModelClaim; its RayClusterFleet is read with Ray's kinds."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.flags import DIALECTS
from moesize.gate.gpus import gpus_with_count, integer
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, drafts
from moesize.gate.settings import Settings, parse_flags
from moesize.gate.shell import Word
from moesize.gate.tree import Tree


def matches(document: Document) -> bool:
    """By kind."""
    return document.root.text_at("kind") in ("StormService", "ModelClaim")


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """Roles of a StormService, or the one model of a claim."""
    root = document.root
    if root.text_at("kind") == "ModelClaim":
        yield from _claim(root)
        return
    roles = root.get("spec", "template", "spec", "roles") or root.get("spec", "roles")
    for role in roles.elements if roles else ():
        spec = role.get("template", "spec")
        if spec is None:
            continue
        size = integer(role.get("podGroupSize"))
        pod = Pod(
            format="aibrix",
            kind="StormService",
            namespace=root.text_at("metadata", "namespace"),
            name=object_name(root),
            where=role.position,
            spec=spec,
            metadata=role.get("template", "metadata"),
            annotations=annotations(root, role.get("template", "metadata")),
            role=role.text_at("name"),
            nodes=size,
            replicas=integer(role.get("replicas")),
            platform={"POD_GROUP_SIZE": str(size.value)} if size else {},
        )
        yield from drafts(pod, tree)


def _claim(root: Node) -> Iterator[Draft]:
    spec = root.get("spec")
    if spec is None:
        return
    engine = (spec.text_at("engineConfig", "engine") or spec.text_at("engine") or "vllm").lower()
    engine = engine if engine in DIALECTS else "unknown"
    settings = Settings()
    args = spec.get("engineConfig", "args")
    flags = [
        Word(text, node.position)
        for key, node in (args.mapping.items() if args else ())
        for text in ((f"{key}={node.text}",) if node.text else (key,))
    ]
    flags += [Word(node.text, node.position) for node in (args.elements if args else ()) if node.text]
    if engine in DIALECTS:
        parse_flags(DIALECTS[engine], flags, settings)
    settings.give_node("model", spec.get("artifactURL") or spec.get("modelName"), "artifactURL")
    accelerator = spec.get("acceleratorType") or spec.get("gpuType")
    choice = gpus_with_count(accelerator) if accelerator else None
    yield Draft(
        format="aibrix",
        kind="ModelClaim",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=spec.position,
        engine=engine,
        settings=settings,
        gpus=(choice,) if choice else (),
        gpu_count=integer(spec.get("gpuCount")),
        replicas=integer(spec.get("replicas")),
        annotations=annotations(root),
    )
