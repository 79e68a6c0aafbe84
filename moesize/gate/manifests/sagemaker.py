"""SageMaker: benchmark and deployment recipes, HyperPod's InferenceEndpointConfig."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.flags import DIALECTS
from moesize.gate.gpus import integer, named_gpu, resource_gpus
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, container_drafts
from moesize.gate.settings import Settings, give_config
from moesize.gate.tree import Tree


def matches(document: Document) -> bool:
    """By kind, or a deployment with a model and an instance."""
    root = document.root
    if root.text_at("kind") == "InferenceEndpointConfig":
        return True
    return bool(root.get("deployment", "model", "id") and root.get("deployment", "instance", "type"))


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """The one endpoint of the document."""
    root = document.root
    if root.text_at("kind") == "InferenceEndpointConfig":
        yield from _endpoint(root, tree)
        return
    deployment = root.get("deployment")
    if deployment is None:
        return
    engine = next((name for name in ("vllm", "sglang") if deployment.get(name)), "vllm")
    settings = Settings()
    config = deployment.get(engine)
    if config:
        give_config(DIALECTS[engine], config, settings, weaker=False)
    settings.give_node("model", deployment.get("model", "id"), "model.id")
    instance = deployment.get("instance", "type")
    choice = named_gpu(instance, "instance") if instance else None
    yield Draft(
        format="sagemaker",
        kind="Recipe",
        name=root.text_at("name") or "unnamed",
        where=deployment.position,
        engine=engine,
        settings=settings,
        image=deployment.get("container", "image_uri"),
        gpus=(choice,) if choice else (),
        gpu_count=integer(deployment.get("endpoint", "ic", "num_accelerators")),
        replicas=integer(deployment.get("instance", "count")),
    )


def _endpoint(root: Node, tree: Tree) -> Iterator[Draft]:
    spec, worker = root.get("spec"), root.get("spec", "worker")
    if spec is None or worker is None:
        return
    variables = worker.get("environmentVariables")
    container = Node({**worker.mapping, **({"env": variables} if variables else {})}, worker.file, worker.line)
    instance = spec.get("instanceType")
    choice = named_gpu(instance, "instance") if instance else None
    count, mig, _ = resource_gpus(worker.get("resources"))
    pod = Pod(
        format="sagemaker",
        kind="InferenceEndpointConfig",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=root.position,
        spec=spec,
        annotations=annotations(root),
        replicas=integer(spec.get("replicas")),
        gpus=(mig,) if mig else (choice,) if choice else (),
        gpu_count=count,
    )
    for draft in container_drafts(pod, container, tree):
        hub = spec.get("modelSourceConfig", "huggingFaceModel", "modelId")
        draft.settings.give_node("model", hub, "modelId", weaker=True)
        yield draft
