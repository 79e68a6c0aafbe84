"""Ray: RayService and RayCluster (also inside AIBrix' RayClusterFleet), Ray Serve LLM configurations."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.dialect import Dialect
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.flags import VLLM
from moesize.gate.gpus import integer, named_gpu, pod_gpus, resource_gpus
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import Pod, drafts, whole_number
from moesize.gate.settings import Settings, give_config, give_environment
from moesize.gate.tree import Tree, embedded

KINDS = frozenset(("RayService", "RayCluster", "RayJob", "RayClusterFleet", "RayClusterReplicaSet"))

#: Names that scripts of one's own commonly read their settings from; the engine behind them is unknown.
_CUSTOM = Dialect(
    flags={},
    environment={
        "MODEL_ID": "model",
        "TENSOR_PARALLEL_SIZE": "tensor_parallel",
        "PIPELINE_PARALLEL_SIZE": "pipeline_parallel",
        "MAX_MODEL_LEN": "max_model_len",
        "MAX_NUM_SEQS": "max_num_seqs",
        "MAX_NUM_BATCHED_TOKENS": "max_num_batched_tokens",
        "GPU_MEMORY_UTILIZATION": "gpu_memory_utilization",
        "DTYPE": "dtype",
        "QUANTIZATION": "quantization",
    },
)


def matches(document: Document) -> bool:
    """By kind, or a Ray Serve configuration file."""
    root = document.root
    return root.text_at("kind") in KINDS or any(_llm_configs(root))


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """Every LLM of the Serve configuration; without one, the engine the head pod starts."""
    root = document.root
    cluster = _cluster(root)
    config = root.get("spec", "serveConfigV2")
    serve = embedded(config) if config else root if cluster is None else None
    found = False
    for llm in _llm_configs(serve) if serve else ():
        found = True
        yield _from_llm(root, llm, cluster)
    if serve and not found and cluster:
        for draft in _from_custom(root, serve, cluster):
            found = True
            yield draft
    if cluster and not found:
        yield from _from_head(root, cluster, tree)


def _llm_configs(serve: Node) -> Iterator[Node]:
    applications = serve.get("applications")
    holders = [application.get("args") for application in applications.elements] if applications else [serve]
    for holder in holders:
        configs = holder.get("llm_configs") if holder else None
        for config in configs.elements if configs else ():
            if config.get("model_loading_config"):
                yield config


def _cluster(root: Node) -> Node | None:
    """The mapping with the head and worker groups, however deep the kind nests it."""
    node = root.get("spec")
    for keys in (
        (),
        ("rayClusterConfig",),
        ("rayClusterSpec",),
        ("template", "spec"),
        ("template", "spec", "rayClusterConfig"),
    ):
        found = node.get(*keys) if node and keys else node
        if found and (found.get("headGroupSpec") or found.get("workerGroupSpecs")):
            return found
    return None


def _workers(cluster: Node | None) -> list[tuple[Node, Fact[int], int]]:
    """Pod specs with GPUs, how many each pod has, and how many pods; the head group first."""
    groups: list[tuple[Node, int]] = []
    head = cluster.get("headGroupSpec", "template", "spec") if cluster else None
    if head:
        groups.append((head, 1))
    workers = cluster.get("workerGroupSpecs") if cluster else None
    for group in workers.elements if workers else ():
        spec = group.get("template", "spec")
        replicas = whole_number(group.get("replicas") or group.get("minReplicas"))
        if spec:
            groups.append((spec, 1 if replicas is None else replicas))
    found: list[tuple[Node, Fact[int], int]] = []
    for spec, replicas in groups:
        containers = spec.get("containers")
        for container in containers.elements if containers else ():
            count, _, _ = resource_gpus(container.get("resources"))
            if count and count.value:
                found.append((spec, count, replicas))
                break
    return found


def _draft(root: Node, where: Node, engine: str, settings: Settings) -> Draft:
    kubernetes = root.text_at("kind") in KINDS
    return Draft(
        format="ray",
        kind=(root.text_at("kind") or "") if kubernetes else "RayServe",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root) if kubernetes else root.text_at("name") or "ray-serve",
        where=where.position,
        engine=engine,
        settings=settings,
        annotations=annotations(root) if kubernetes else None,
    )


def _from_llm(root: Node, llm: Node, cluster: Node | None) -> Draft:
    settings = Settings()
    kwargs = llm.get("engine_kwargs")
    if kwargs:
        give_config(VLLM, kwargs, settings, weaker=False)
    loading = llm.get("model_loading_config")
    model_id = loading.get("model_id") if loading else None
    source = loading.get("model_source") if loading else None
    uri = source.get("bucket_uri") if source else None
    settings.give_node("model", uri or source or model_id, "model_source")
    draft = _draft(root, llm, "vllm", settings)
    accelerator = llm.get("accelerator_type")
    choice = named_gpu(accelerator) if accelerator else None
    workers = _workers(cluster)
    if workers:
        draft.gpu_count = workers[0][1]
        draft.gpus = pod_gpus(workers[0][0])
    if choice and not draft.gpus:
        draft.gpus = (choice,)
    draft.nodes = _nodes_for_layout(draft)
    scaling = llm.get("deployment_config")
    for keys in (("num_replicas",), ("autoscaling_config", "min_replicas"), ("autoscaling_config", "max_replicas")):
        if scaling and (number := integer(scaling.get(*keys))) and number.value:
            draft.replicas = number
            break
    return draft


def _nodes_for_layout(draft: Draft) -> Fact[int] | None:
    """Pods one copy spreads over: Ray places one worker per GPU until tensor × pipeline are placed."""
    if draft.gpu_count is None:
        return None
    ranks = 1
    for setting in ("tensor_parallel", "pipeline_parallel"):
        given = draft.settings.text(setting)
        ranks *= int(given) if given and given.isdecimal() and len(given) < 6 else 1
    return Fact(-(-ranks // draft.gpu_count.value), Source.INFERRED, draft.gpu_count.where)


def _from_custom(root: Node, serve: Node, cluster: Node) -> Iterator[Draft]:
    applications = serve.get("applications")
    for application in applications.elements if applications else ():
        env = application.get("runtime_env", "env_vars")
        if env is None or env.get("MODEL_ID") is None:
            continue
        settings = Settings()
        values = {name: node.text for name, node in env.mapping.items()}
        places = {name: node.position for name, node in env.mapping.items()}
        give_environment(_CUSTOM, values, places, application.position, settings)
        draft = _draft(root, application, "unknown", settings)
        draft.engine_source = Source.INFERRED
        workers = _workers(cluster)
        if workers:
            draft.gpus, draft.gpu_count = pod_gpus(workers[0][0]), workers[0][1]
        yield draft


def _from_head(root: Node, cluster: Node, tree: Tree) -> Iterator[Draft]:
    """The engine runs in the head pod and spreads over every pod with GPUs."""
    head = cluster.get("headGroupSpec", "template", "spec")
    if head is None:
        return
    workers = _workers(cluster)
    pods = sum(number for _, _, number in workers)
    gpus: tuple[GpuChoice, ...] = next((found for spec, _, _ in workers if (found := pod_gpus(spec))), ())
    pod = Pod(
        format="ray",
        kind=root.text_at("kind") or "",
        namespace=root.text_at("metadata", "namespace"),
        name=object_name(root),
        where=root.position,
        spec=head,
        metadata=cluster.get("headGroupSpec", "template", "metadata"),
        annotations=annotations(root),
        nodes=Fact(pods, Source.INFERRED, cluster.position) if pods else None,
        replicas=integer(root.get("spec", "replicas")),
        gpus=gpus,
        gpu_count=workers[0][1] if workers else None,
    )
    # KubeRay replaces the image's own entry point by `ray start`
    yield from (draft for draft in drafts(pod, tree) if draft.settings.given)
