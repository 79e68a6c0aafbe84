"""Values of other Helm charts: a command or arguments beside resources, or a model with its layout."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, Source
from moesize.gate.flags import DIALECTS
from moesize.gate.gpus import integer
from moesize.gate.pods import Pod, container_drafts, whole_number
from moesize.gate.settings import Settings, give_config, parse_flags
from moesize.gate.shell import Script
from moesize.gate.tree import Tree

_ENGINES = ("vllm", "sglang", "trtllm", "tgi")


def matches(document: Document) -> bool:
    """Values have no kind; what they serve stands in a command, or under `model` or `workload`."""
    root = document.root
    if root.get("kind") or not root.mapping:
        return False
    return _is_recipe(root) or _is_workload(root) or _command(root) is not None


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """The one server the values describe."""
    root = document.root
    if _is_recipe(root):
        yield _recipe(root)
    elif _is_workload(root):
        yield _workload(root)
    else:
        yield from _container(root, tree)


def _is_recipe(root: Node) -> bool:
    return bool(root.get("model", "name") and (root.get("model", "tp_size") or _engine_of(root)))


def _is_workload(root: Node) -> bool:
    return bool(root.get("workload", "model") and root.get("workload", "framework"))


def _command(root: Node) -> Node | None:
    for keys in (("command",), ("image", "command"), ("args",), ("extraArgs",)):
        found = root.get(*keys)
        if found is not None and (found.elements or found.text):
            return found
    return None


def _engine_of(root: Node) -> str | None:
    return next((name for name in _ENGINES if root.get(name, "serverArgs") or root.get(name, "args")), None)


def _recipe(root: Node) -> Draft:
    """`model.{name,tp_size,pp_size}`, `job.gpus`, `vllm.serverArgs`."""
    name = _engine_of(root) or "vllm"
    engine = {"trtllm": "tensorrt-llm"}.get(name, name)
    settings = Settings()
    for key, setting in (("tp_size", "tensor_parallel"), ("pp_size", "pipeline_parallel"), ("name", "model")):
        settings.give_node(setting, root.get("model", key), f"model.{key}")
    server = root.get(name, "serverArgs") or root.get(name, "args")
    if server:
        give_config(DIALECTS[engine], server, settings, weaker=False)
    total = root.get("job", "gpus")
    count, nodes = integer(total), None
    tensor = whole_number(root.get("model", "tp_size"))
    if count and tensor and count.value > tensor and count.value % tensor == 0:
        # GPUs of the whole job; a tensor-parallel group is one node
        nodes = Fact(count.value // tensor, Source.INFERRED, count.where)
        count = Fact(tensor, Source.INFERRED, count.where)
    return Draft(
        format="helm-values",
        kind="Values",
        name=root.text_at("model", "name") or "unnamed",
        where=root.position,
        engine=engine,
        engine_source=Source.INFERRED,
        settings=settings,
        gpu_count=count,
        nodes=nodes,
        replicas=integer(root.get(name, "replicaCount")),
    )


def _workload(root: Node) -> Draft:
    """`workload.{model,framework,nnodes,tpSize,extraArgs}`."""
    workload = root.get("workload") or root
    framework = (workload.text_at("framework") or "").lower()
    engine = framework if framework in DIALECTS else "unknown"
    settings = Settings()
    settings.give_node("tensor_parallel", workload.get("tpSize"), "tpSize")
    settings.give_node("pipeline_parallel", workload.get("ppSize"), "ppSize")
    extra = workload.get("extraArgs")
    if extra is not None and extra.text and engine in DIALECTS:
        script = Script(extra.text, extra.position, extra.block, {})
        parse_flags(DIALECTS[engine], [w for command in script.commands() for w in command.words], settings)
    settings.give_node("model", workload.get("model"), "workload.model")
    nodes = integer(workload.get("nnodes"))
    tensor = whole_number(workload.get("tpSize"))
    count = integer(workload.get("gpusPerNode"))
    if count is None and nodes and nodes.value and tensor and tensor % nodes.value == 0:
        count = Fact(tensor // nodes.value, Source.INFERRED, nodes.where)
    return Draft(
        format="helm-values",
        kind="Values",
        name=workload.text_at("servedModelName") or workload.text_at("model") or "unnamed",
        where=workload.position,
        engine=engine,
        settings=settings,
        image=workload.get("image"),
        gpu_count=count,
        nodes=nodes,
    )


def _container(root: Node, tree: Tree) -> Iterator[Draft]:
    """Values that are a container's own fields."""
    image = root.get("image")
    repository = image.text_at("repository") if image else None
    name = f"{repository}:{image.text_at('tag') or 'latest'}" if image and repository else image.text if image else None
    fields = {key: node for key in ("args", "env", "resources", "command") if (node := root.get(key)) is not None}
    inner = image.get("command") if image else None
    if inner is not None:
        fields.setdefault("command", inner)
    extra = root.get("extraArgs")
    if extra is not None and extra.elements:
        fields.setdefault("args", extra)
    if image and name:
        fields["image"] = Node(name, image.file, image.line, image.column)
    container = Node(fields, root.file, root.line, root.column)
    pod = Pod(
        format="helm-values",
        kind="Values",
        namespace=None,
        name=root.text_at("fullnameOverride") or root.text_at("nameOverride") or root.file.rpartition("/")[2],
        where=root.position,
        spec=root,
        annotations=root.get("podAnnotations"),
        replicas=integer(root.get("replicaCount") or root.get("replicas")),
    )
    yield from container_drafts(pod, container, tree)
