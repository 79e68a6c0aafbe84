"""Which GPUs a pod asks for, and how many: resources, node labels, affinities, MIG, accelerator names.

Names stay as the file writes them; `resolve` turns them into the catalogue's at the edge.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

from moesize.gate.document import Node
from moesize.gate.expansion import is_unresolved
from moesize.gate.facts import Fact, GpuChoice, Source

By = Literal["gpu", "instance", "memory", "pool"]

#: Node labels that tell the GPU, the surest first. A pool is a name somebody chose: it may only hint.
_LABELS: Final[dict[str, By]] = {
    "nvidia.com/gpu.product": "gpu",
    "amd.com/gpu.product-name": "gpu",
    "amd.com/gpu.product": "gpu",
    "cloud.google.com/gke-accelerator": "gpu",
    "gpu.nvidia.com/class": "gpu",
    "gpu.nvidia.com/model": "gpu",
    "karpenter.k8s.aws/instance-gpu-name": "gpu",
    "eks.amazonaws.com/instance-gpu-name": "gpu",
    "k8s.amazonaws.com/accelerator": "gpu",
    "node.kubernetes.io/instance-type": "instance",
    "beta.kubernetes.io/instance-type": "instance",
    "cloud.google.com/compute-class": "pool",
    "accelerator": "pool",
    "gpu-type": "pool",
    "gpu.type": "pool",
    "gpu": "pool",
}
#: Labels other clouds and clusters put the GPU's name into.
_OTHER_LABEL: Final = re.compile(
    r"[/.-](?:gpu|accelerator)[-._]?(?:name|product|model|type|class)$|/(?:gpu|accelerator)$"
)
_MEMORY_LABELS: Final = (
    "nvidia.com/gpu.memory",
    "karpenter.k8s.aws/instance-gpu-memory",
    "eks.amazonaws.com/instance-gpu-memory",
)
_GPU_RESOURCES: Final = (
    "nvidia.com/gpu",
    "amd.com/gpu",
    "nvidia.com/gpu.shared",
    "gpu.intel.com/xe",
    "gpu.intel.com/i915",
)
_OTHER_DEVICES: Final = {
    "google.com/tpu": "tpu",
    "aws.amazon.com/neuron": "neuron",
    "aws.amazon.com/neuroncore": "neuron",
    "habana.ai/gaudi": "gaudi",
    "gpu.intel.com/i915": "intel-gpu",
    "gpu.intel.com/xe": "intel-gpu",
}
MIG_RESOURCE: Final = re.compile(r"nvidia\.com/mig-((\d+)g\.(\d+)gb)")
_MIG_SUFFIX: Final = re.compile(r"-MIG-((\d+)g\.(\d+)gb)", re.IGNORECASE)
#: A GPU's name inside a pool's, with its memory where the pool tells it: `gpu-h100-80gb-high-x8`.
_IN_POOL: Final = re.compile(
    r"(?:^|[-_])((?:rtx-?)?(?:[abhv]\d{2,3}s?|l\d{1,2}s?|gh200|gb[23]00|t4|mi\d{3}x?|\d{4}(?:ti)?)(?:-\d+gb)?)(?=$|[-_])",
    re.IGNORECASE,
)


def integer(node: Node | None) -> Fact[int] | None:
    """A whole number a node states; quoted ones count, fractions and templates do not."""
    text = node.text if node else None
    if node is None or text is None or not re.fullmatch(r"\d{1,12}", text.strip()):
        return None
    return Fact(int(text), Source.STATED, node.position)


def resource_gpus(resources: Node | None) -> tuple[Fact[int] | None, GpuChoice | None, Fact[str] | None]:
    """GPUs in a container's `resources`: how many, the MIG slice if it is one, and another kind of device."""
    for section in ("limits", "requests", "claims"):
        asked = resources.get(section) if resources else None
        for name, node in asked.mapping.items() if asked else ():
            if name in _GPU_RESOURCES or name == "gpu":
                device = _OTHER_DEVICES.get(name)
                return integer(node), None, Fact(device, Source.STATED, node.position) if device else None
            if match := MIG_RESOURCE.fullmatch(name):
                return integer(node), mig_choice(name.partition("/")[2], match, node), None
            if name in _OTHER_DEVICES:
                return integer(node), None, Fact(_OTHER_DEVICES[name], Source.STATED, node.position)
    return None, None, None


def mig_choice(name: str, match: re.Match[str], node: Node) -> GpuChoice:
    """A MIG slice: its profile names its memory in GB, of which the driver gives about as many GiB less a little."""
    memory = Fact(float(match.group(3)), Source.STATED, node.position)
    return GpuChoice(Fact(name, Source.STATED, node.position), "gpu", memory_gib=memory, mig=match.group(1))


def pod_gpus(pod: Node) -> tuple[GpuChoice, ...]:
    """The GPUs a pod spec's `nodeSelector` and required node affinity leave; several mean any of them."""
    selector = pod.get("nodeSelector")
    labels = {key: [node] for key, node in (selector.mapping if selector else {}).items()}
    terms = pod.get("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    if terms is None or not terms.elements:
        return tuple(labelled_gpus(labels))
    # Terms are alternatives, and each comes on top of the selector.
    return tuple(choice for term in terms.elements for choice in labelled_gpus({**dict(_expressions(term)), **labels}))


def term_gpus(terms: Node | None) -> tuple[GpuChoice, ...]:
    """The GPUs a list of node selector terms leaves."""
    found: list[GpuChoice] = []
    for term in terms.elements if terms else ():
        found.extend(labelled_gpus(dict(_expressions(term))))
    return tuple(found)


def selector_gpus(selector: Node | None) -> tuple[GpuChoice, ...]:
    """The GPUs a mapping of node labels leaves."""
    return tuple(labelled_gpus({key: [node] for key, node in (selector.mapping if selector else {}).items()}))


def _expressions(term: Node) -> Iterator[tuple[str, list[Node]]]:
    expressions = term.get("matchExpressions")
    for expression in expressions.elements if expressions else ():
        key, values = expression.text_at("key"), expression.get("values")
        if key and values and expression.text_at("operator") == "In":
            yield key, list(values.elements)


def labelled_gpus(labels: dict[str, list[Node]]) -> Iterator[GpuChoice]:
    """Choices by the surest label there is."""
    memory: Fact[float] | None = None
    for name in _MEMORY_LABELS:
        for node in labels.get(name, ()):
            mib = integer(node)
            memory = Fact(mib.value / 1024, Source.STATED, mib.where) if mib else None
    for name, by in _LABELS.items():
        found = [choice for node in labels.get(name, ()) if (choice := named_gpu(node, by, memory))]
        if found:
            yield from found
            return
    for name, nodes in labels.items():
        if _OTHER_LABEL.search(name):
            yield from (choice for node in nodes if (choice := named_gpu(node, "gpu", memory)))
            return


def named_gpu(
    node: Node, by: By = "gpu", memory: Fact[float] | None = None, count: Fact[int] | None = None
) -> GpuChoice | None:
    """A GPU under the name a node holds; None for an empty one or a pool that names no GPU."""
    text = node.text
    if not text or not text.strip() or is_unresolved(text):
        return None
    if by == "pool":
        match = _IN_POOL.search(text)
        if match is None:
            return None
        return GpuChoice(Fact(match.group(1), Source.INFERRED, node.position), "pool", count, memory)
    shared = text.endswith("-SHARED")
    name = text.removesuffix("-SHARED").strip()
    mig: str | None = None
    if match := _MIG_SUFFIX.search(name):
        name, mig = name[: match.start()], match.group(1)
        memory = Fact(float(match.group(3)), Source.STATED, node.position)
    return GpuChoice(Fact(name, Source.STATED, node.position), by, count, memory, mig, shared)


def gpus_with_count(node: Node) -> GpuChoice | None:
    """`H100:8`, `nvidia-gpu-h100:8`: a name and a count behind a colon."""
    name, colon, count = (node.text or "").partition(":")
    if not name:
        return None
    number = Fact(int(count), Source.STATED, node.position) if colon and count.isdecimal() and len(count) < 6 else None
    return GpuChoice(Fact(name.strip(), Source.STATED, node.position), "gpu", number)
