"""KServe InferenceService, with the ServingRuntime it names, and OME's InferenceService."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, Source
from moesize.gate.flags import DIALECTS
from moesize.gate.gpus import integer, resource_gpus
from moesize.gate.images import nim_model
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, choices, container_drafts, drafts, words
from moesize.gate.settings import Settings, parse_flags
from moesize.gate.tree import Tree

#: Where KServe puts the model it has fetched.
_MODEL_MOUNT = "/mnt/models"


def matches(document: Document) -> bool:
    """By kind."""
    return document.root.text_at("kind") == "InferenceService"


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """The predictor, in its runtime's container where the runtime is in the same tree."""
    root = document.root
    if (root.text_at("apiVersion") or "").startswith("ome.io"):
        yield from _read_ome(root, tree)
        return
    predictor = root.get("spec", "predictor")
    if predictor is None:
        return
    pod = _pod(root, predictor)
    yield from drafts(pod, tree)
    model = predictor.get("model")
    if model is None:
        return
    runtime = _runtime(model.text_at("runtime"), root.file, tree)
    container = _container(runtime, model)
    found = list(container_drafts(pod, container, tree)) if container else []
    for draft in found or _without_runtime(pod, model):
        draft.where = model.position
        _fetch(draft, model, predictor)
        if container and (image := nim_model(container.text_at("image") or "")):
            draft.hints.append(Fact(image, Source.INFERRED, model.position))
        yield draft


def _pod(root: Node, spec: Node) -> Pod:
    return Pod(
        format="kserve",
        kind="InferenceService",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=root.position,
        spec=spec,
        metadata=root.get("metadata"),
        annotations=annotations(root),
        replicas=integer(spec.get("minReplicas")),
    )


def _runtime(name: str | None, near: str, tree: Tree) -> Node | None:
    if not name:
        return None
    return tree.find("ServingRuntime", name, near) or tree.find("ClusterServingRuntime", name, near)


def _container(runtime: Node | None, model: Node) -> Node | None:
    """The runtime's container with what the service adds: arguments and variables behind, resources instead."""
    containers = runtime.get("spec", "containers") if runtime else None
    first = next(iter(containers.elements), None) if containers else None
    if first is None:
        return None
    merged = dict(first.mapping)
    for key in ("args", "env"):
        added = model.get(key)
        if added:
            before = first.get(key)
            merged[key] = Node([*(before.elements if before else ()), *added.elements], added.file, added.line)
    resources = model.get("resources")
    if resources:
        merged["resources"] = resources
    return Node(merged, first.file, first.line, first.column)


def _without_runtime(pod: Pod, model: Node) -> Iterator[Draft]:
    """The engine by the names of the format and the runtime, which other files define."""
    said = " ".join(filter(None, (model.text_at("modelFormat", "name"), model.text_at("runtime")))).lower()
    known = {"vllm": "vllm", "huggingface": "vllm", "sglang": "sglang", "tgi": "tgi", "nim": "nim", "llm": "unknown"}
    engine = next((engine for word, engine in known.items() if word in said), None)
    count, mig, device = resource_gpus(model.get("resources"))
    if engine is None:
        return
    settings = Settings()
    if engine in DIALECTS:
        parse_flags(DIALECTS[engine], words(model.get("args"), {}), settings)
    draft = Draft(
        format=pod.format,
        kind=pod.kind,
        namespace=pod.namespace,
        name=pod.name,
        where=model.position,
        engine=engine,
        engine_source=Source.INFERRED,
        settings=settings,
        gpus=choices(pod, mig),
        gpu_count=count,
        replicas=pod.replicas,
        device=device,
        annotations=pod.annotations,
    )
    name = model.get("modelFormat", "name")
    if engine == "nim" and name is not None and name.text:
        draft.hints.append(Fact(name.text.removeprefix("nvidia-nim-"), Source.INFERRED, name.position))
    yield draft


def _fetch(draft: Draft, model: Node, predictor: Node) -> None:
    """The storage the model comes from stands for the mount it is served from."""
    uri = model.get("storageUri") or model.get("storage", "storageUri")
    given = draft.settings.text("model")
    # a NIM's storage is a cache; the image is the model
    if uri is not None and uri.text and draft.engine != "nim" and (given is None or given.startswith(_MODEL_MOUNT)):
        draft.settings.given.pop("model", None)
        draft.settings.give_node("model", uri, "storageUri")
    worker = predictor.get("workerSpec")
    if worker:
        draft.settings.give_node("tensor_parallel", worker.get("tensorParallelSize"), "tensorParallelSize", weaker=True)
        pipeline = worker.get("pipelineParallelSize")
        draft.settings.give_node("pipeline_parallel", pipeline, "pipelineParallelSize", weaker=True)
        draft.nodes = draft.nodes or integer(pipeline)


def _read_ome(root: Node, tree: Tree) -> Iterator[Draft]:
    """OME: the model by name, the engine in the runtime's runner or the service's own."""
    engine = root.get("spec", "engine")
    name = root.get("spec", "model", "name")
    runtime = _runtime(root.text_at("spec", "runtime", "name"), root.file, tree)
    config = runtime.get("spec", "engineConfig") if runtime else None
    runner = (engine.get("runner") if engine else None) or (config.get("runner") if config else None)
    if runner is None:
        return
    pod = _pod(root, engine if engine and engine.get("nodeSelector") else config or root)
    for draft in container_drafts(pod, runner, tree):
        given = draft.settings.text("model")
        if name is not None and name.text and (given is None or "$" in given):
            draft.settings.given.pop("model", None)
            base = tree.find("ClusterBaseModel", name.text, root.file) or tree.find("BaseModel", name.text, root.file)
            storage = base.get("spec", "storage", "storageUri") if base else None
            draft.settings.give("model", (storage or name).text or "", name.position, "spec.model.name")
            draft.hints.append(Fact(name.text, Source.INFERRED, name.position))
        draft.where = (name or root).position
        yield draft
