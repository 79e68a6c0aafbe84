"""vLLM production-stack: the Helm chart's values and the VLLMRuntime object."""

from collections.abc import Iterator
from dataclasses import replace

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, Source
from moesize.gate.flags import VLLM
from moesize.gate.gpus import MIG_RESOURCE, integer, mig_choice, named_gpu, term_gpus
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import words
from moesize.gate.settings import Settings, parse_flags
from moesize.gate.tree import Tree

#: Keys of `vllmConfig` (and, in the object, of `model`) by setting.
_KEYS = {
    "maxModelLen": "max_model_len",
    "dtype": "dtype",
    "tensorParallelSize": "tensor_parallel",
    "pipelineParallelSize": "pipeline_parallel",
    "maxNumSeqs": "max_num_seqs",
    "maxNumBatchedTokens": "max_num_batched_tokens",
    "gpuMemoryUtilization": "gpu_memory_utilization",
    "maxLoras": "max_loras",
}
#: What the chart's templates read of one model; a memory setting beside these has no effect
#: (helm/templates/deployment-vllm-multi.yaml of https://github.com/vllm-project/production-stack).
_MISPLACED = {**_KEYS, "extraArgs": "arguments", "nodeSelector": "gpus"}


def matches(document: Document) -> bool:
    """By the values' top-level key, or by kind."""
    root = document.root
    return root.get("servingEngineSpec", "modelSpec") is not None or root.text_at("kind") == "VLLMRuntime"


def read(document: Document, tree: Tree) -> Iterator[Draft]:  # noqa: ARG001  values refer to nothing
    """One draft per model."""
    root = document.root
    if root.text_at("kind") == "VLLMRuntime":
        yield from _runtime(root)
        return
    models = root.get("servingEngineSpec", "modelSpec")
    for model in models.elements if models else ():
        if model.get("modelURL"):
            yield _model(model)


def _model(spec: Node) -> Draft:
    settings = Settings()
    settings.give_node("model", spec.get("modelURL"), "modelURL")
    revision = spec.get("modelRevision")
    if revision is not None and revision.text:
        settings.give_node("revision", revision, "modelRevision")
    config = spec.get("vllmConfig")
    if config:
        _give_keys(config, settings)
        parse_flags(VLLM, words(config.get("extraArgs"), {}), settings)
    for key, setting in _MISPLACED.items():
        node = spec.get(key)
        if node is not None:
            settings.ignored(setting, node, f"the chart does not read {key} of a modelSpec entry; {_belongs(key)}")
    draft = Draft(
        format="production-stack",
        kind="ModelSpec",
        name=spec.text_at("name") or "unnamed",
        where=spec.position,
        engine="vllm",
        settings=settings,
        image=_image(spec),
        gpus=term_gpus(spec.get("nodeSelectorTerms")),
        gpu_count=integer(spec.get("requestGPU")),
        replicas=integer(spec.get("replicaCount")),
        enabled=(enabled := spec.get("enabled")) is None or enabled.boolean is not False,
        annotations=spec.get("annotations"),
    )
    requested = spec.get("requestGPU")
    if requested is not None and draft.gpu_count is None and requested.text:
        settings.ignored(
            "gpu_count", requested, f"requestGPU {requested.text} is no whole number; the chart cuts it off"
        )
    kind = spec.get("requestGPUType")
    if kind is not None and kind.text and (match := MIG_RESOURCE.fullmatch(kind.text)):
        slice_ = mig_choice(kind.text.partition("/")[2], match, kind)
        draft.gpus = tuple(replace(c, mig=slice_.mig, memory_gib=slice_.memory_gib) for c in draft.gpus) or (slice_,)
    ray = spec.get("raySpec")
    if ray and ray.get("enabled") is not None and ray.get("enabled").boolean is not False:  # type: ignore[union-attr]
        workers = draft.replicas.value if draft.replicas else 1
        head = integer(ray.get("headNode", "requestGPU"))
        pods = workers + (1 if head and head.value else 0)
        draft.nodes, draft.replicas = Fact(pods, Source.INFERRED, ray.position), None
    return draft


def _belongs(key: str) -> str:
    if key == "extraArgs" or key in _KEYS:
        return "it belongs under vllmConfig"
    return "node selection goes by nodeSelectorTerms"


def _give_keys(config: Node, settings: Settings) -> None:
    for key, setting in _KEYS.items():
        settings.give_node(setting, config.get(key), key)


def _image(spec: Node) -> Node | None:
    repository, tag = spec.get("repository"), spec.get("tag")
    if repository is None or repository.text is None:
        return None
    place = tag or repository
    return Node(f"{repository.text}:{tag.text if tag and tag.text else 'latest'}", place.file, place.line, place.column)


def _runtime(root: Node) -> Iterator[Draft]:
    spec = root.get("spec")
    if spec is None:
        return
    settings = Settings()
    model, config = spec.get("model"), spec.get("vllmConfig")
    if model:
        settings.give_node("model", model.get("modelURL"), "modelURL")
        _give_keys(model, settings)
    if config:
        _give_keys(config, settings)
        parse_flags(VLLM, words(config.get("extraArgs"), {}), settings)
    resources = spec.get("deploymentConfig", "resources")
    gpu_type = resources.get("gpuName") if resources else None
    choice = named_gpu(gpu_type) if gpu_type else None
    yield Draft(
        format="production-stack",
        kind="VLLMRuntime",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=spec.position,
        engine="vllm",
        settings=settings,
        image=spec.get("deploymentConfig", "image", "name"),
        gpus=(choice,) if choice else (),
        gpu_count=integer(resources.get("gpu")) if resources else None,
        replicas=integer(spec.get("deploymentConfig", "replicas")),
        annotations=annotations(root),
    )
