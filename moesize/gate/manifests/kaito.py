"""KAITO: Workspace, InferenceSet and MultiRoleInference: an instance type and a preset's name."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Source
from moesize.gate.flags import VLLM
from moesize.gate.gpus import integer, named_gpu
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, drafts
from moesize.gate.settings import Settings, give_config
from moesize.gate.tree import Tree, embedded


def matches(document: Document) -> bool:
    """By kind and API group."""
    root = document.root
    kind, version = root.text_at("kind"), root.text_at("apiVersion") or ""
    return version.startswith("kaito.sh/") and kind in ("Workspace", "InferenceSet", "MultiRoleInference")


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """One draft per workspace, or per role."""
    root = document.root
    if root.text_at("kind") == "MultiRoleInference":
        roles = root.get("spec", "roles")
        for role in roles.elements if roles else ():
            draft = _draft(root, role, role, role.text_at("type"))
            draft.settings.give_node("model", root.get("spec", "model", "name"), "spec.model.name")
            draft.replicas = integer(role.get("replicas"))
            yield draft
        return
    template = root.get("spec", "template") or root
    resource, inference = template.get("resource"), template.get("inference")
    if inference is None:
        return  # fine-tuning
    pod = inference.get("template", "spec")
    draft = _draft(root, resource or root, inference, None)
    if pod:
        for found in drafts(_pod(root, pod), tree):
            found.gpus = found.gpus or draft.gpus
            yield found
        return
    draft.settings.give_node("model", inference.get("preset", "name"), "preset.name")
    draft.nodes = integer(resource.get("count")) if resource else None
    draft.replicas = integer(root.get("spec", "replicas"))
    config = inference.get("config")
    data = tree.config_map(config.text, config.file).get("inference_config.yaml") if config and config.text else None
    parameters = embedded(data) if data else None
    vllm = parameters.get("vllm") if parameters else None
    if vllm:
        give_config(VLLM, vllm, draft.settings)
    yield draft


def _draft(root: Node, machine: Node, where: Node, role: str | None) -> Draft:
    instance = machine.get("instanceType")
    choice = named_gpu(instance, "instance") if instance else None
    return Draft(
        format="kaito",
        kind=root.text_at("kind") or "",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=where.position,
        engine="vllm",
        engine_source=Source.DEFAULT,
        settings=Settings(),
        role=role,
        gpus=(choice,) if choice else (),
        annotations=annotations(root),
    )


def _pod(root: Node, spec: Node) -> Pod:
    return Pod(
        format="kaito",
        kind=root.text_at("kind") or "",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=root.position,
        spec=spec,
        annotations=annotations(root),
    )
