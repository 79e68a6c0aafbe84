"""KServe LLMInferenceService: model by URI, layout by `parallelism`, flags in `VLLM_ADDITIONAL_ARGS`."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, Source
from moesize.gate.flags import VLLM
from moesize.gate.gpus import integer, resource_gpus
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, choices, container_drafts, whole_number
from moesize.gate.settings import Settings, parse_flags
from moesize.gate.shell import Script, Word
from moesize.gate.tree import Tree

_ARGUMENTS = "VLLM_ADDITIONAL_ARGS"


def matches(document: Document) -> bool:
    """By kind."""
    return document.root.text_at("kind") == "LLMInferenceService"


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """One draft for the decoding (or only) part, one for prefill."""
    root = document.root
    spec = root.get("spec")
    if spec is None:
        return
    prefill = spec.get("prefill")
    yield from _part(root, spec, spec, "decode" if prefill else None, tree)
    if prefill:
        yield from _part(root, spec, prefill, "prefill", tree)


def _part(root: Node, spec: Node, part: Node, role: str | None, tree: Tree) -> Iterator[Draft]:
    template = part.get("template") or Node({}, part.file, part.line, part.column)
    pod = Pod(
        format="kserve-llm",
        kind="LLMInferenceService",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=root.position,
        spec=template,
        metadata=root.get("metadata"),
        annotations=annotations(root),
        role=role,
        nodes=_nodes(part),
        replicas=integer(part.get("replicas")),
    )
    containers = template.get("containers")
    found = containers.elements if containers else ()
    main = next((c for c in found if c.text_at("name") == "main"), found[0] if found else None)
    for draft in _main(pod, main, tree):
        _give(draft, spec, part)
        yield draft


def _main(pod: Pod, main: Node | None, tree: Tree) -> Iterator[Draft]:
    """The main container's own launch, or the engine KServe starts in it by default: vLLM."""
    drafts = list(container_drafts(pod, main, tree, _additional(main))) if main else []
    if drafts:
        yield from drafts
        return
    settings = Settings()
    parse_flags(VLLM, _additional(main), settings)
    count, mig, device = resource_gpus(main.get("resources") if main else None)
    yield Draft(
        format=pod.format,
        kind=pod.kind,
        namespace=pod.namespace,
        name=pod.name,
        container=main.text_at("name") if main else None,
        where=main.position if main else pod.where,
        engine="vllm",
        engine_source=Source.DEFAULT,
        settings=settings,
        role=pod.role,
        image=main.get("image") if main else None,
        gpus=choices(pod, mig),
        gpu_count=count,
        nodes=pod.nodes,
        replicas=pod.replicas,
        device=device,
        annotations=pod.annotations,
    )


def _additional(main: Node | None) -> tuple[Word, ...]:
    env = main.get("env") if main else None
    for entry in env.elements if env else ():
        value = entry.get("value")
        if entry.text_at("name") == _ARGUMENTS and value is not None and value.text:
            script = Script(value.text, value.position, value.block, {})
            return tuple(word for command in script.commands() for word in command.words)
    return ()


def _nodes(part: Node) -> Fact[int] | None:
    """Pods of one model: data-parallel ranks over those of one pod; without any, one per pipeline stage."""
    if part.get("worker") is None:
        return None
    data, local = part.get("parallelism", "data"), part.get("parallelism", "dataLocal")
    ranks, per_pod = whole_number(data), whole_number(local)
    if data and ranks and per_pod and ranks % per_pod == 0:
        return Fact(ranks // per_pod, Source.INFERRED, data.position)
    return integer(part.get("parallelism", "pipeline"))


def _give(draft: Draft, spec: Node, part: Node) -> None:
    uri = spec.get("model", "uri")
    if uri is not None and uri.text:
        draft.settings.given.pop("model", None)
        draft.settings.give_node("model", uri, "spec.model.uri")
    name = spec.get("model", "name")
    if name is not None and name.text:
        draft.hints.append(Fact(name.text, Source.INFERRED, name.position))
    parallelism = part.get("parallelism")
    keys = {
        "tensor": "tensor_parallel",
        "pipeline": "pipeline_parallel",
        "data": "data_parallel",
        "expert": "expert_parallel",
    }
    for key, setting in keys.items() if parallelism else ():
        draft.settings.give_node(
            setting, parallelism.get(key) if parallelism else None, f"parallelism.{key}", weaker=True
        )
