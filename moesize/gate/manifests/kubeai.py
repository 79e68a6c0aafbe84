"""KubeAI: Model objects, and the catalogue of models in its chart's values; GPUs by resource profile."""

from collections.abc import Iterator
from dataclasses import replace

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.flags import DIALECTS
from moesize.gate.gpus import gpus_with_count, integer, resource_gpus, selector_gpus
from moesize.gate.manifests.kubernetes import annotations, object_name
from moesize.gate.pods import environment, words
from moesize.gate.settings import Settings, give_environment, parse_flags
from moesize.gate.tree import Tree

_ENGINES = {"VLLM": "vllm", "OLlama": "ollama"}
#: Profiles are called after what they ask for: `nvidia-gpu-a100-80gb`, `amd-gpu-mi300x`, `google-tpu-v5e-2x2`, `cpu`.
_PREFIXES = ("nvidia-gpu-", "amd-gpu-", "intel-gpu-")


def matches(document: Document) -> bool:
    """A Model of its API group, or values with a catalogue of them."""
    root = document.root
    if root.text_at("kind") == "Model":
        return (root.text_at("apiVersion") or "").startswith("kubeai.org/")
    return any(model.get("resourceProfile") for _, model in _catalog(root))


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """One draft per model whose engine serves language models."""
    root = document.root
    if root.text_at("kind") == "Model":
        spec = root.get("spec")
        if spec:
            yield from _model(object_name(root), root, spec, tree, annotations(root))
        return
    for name, model in _catalog(root):
        yield from _model(name, root, model, tree, None)


def _catalog(root: Node) -> Iterator[tuple[str, Node]]:
    catalog = root.get("catalog") or root.get("models", "catalog")
    for name, model in catalog.mapping.items() if catalog else ():
        if model.get("url"):
            yield name, model


def _model(name: str, root: Node, spec: Node, tree: Tree, notes: Node | None) -> Iterator[Draft]:
    engine = _ENGINES.get(spec.text_at("engine") or "")
    profile = spec.get("resourceProfile")
    features = spec.get("features")
    if engine is None or (features and not any(f.text == "TextGeneration" for f in features.elements)):
        return
    settings = Settings()
    variables, places = environment(spec, tree, {})
    parse_flags(DIALECTS[engine], words(spec.get("args"), variables), settings)
    give_environment(DIALECTS[engine], variables, places, spec.position, settings)
    settings.give_node("model", spec.get("url"), "url")
    choices, count, device = _profile(profile, tree) if profile else ((), None, None)
    yield Draft(
        format="kubeai",
        kind="Model",
        namespace=root.text_at("metadata", "namespace"),
        name=name,
        where=spec.position,
        engine=engine,
        settings=settings,
        image=spec.get("image"),
        gpus=choices,
        gpu_count=count,
        replicas=replicas
        if (replicas := integer(spec.get("replicas") or spec.get("minReplicas"))) and replicas.value
        else None,
        device=device,
        enabled=(enabled := spec.get("enabled")) is None or enabled.boolean is not False,
        annotations=notes,
    )


def _profile(profile: Node, tree: Tree) -> tuple[tuple[GpuChoice, ...], Fact[int] | None, Fact[str] | None]:
    """GPUs of `name:count`: by the chart's values where they are in the tree, otherwise by the profile's own name."""
    stated = gpus_with_count(profile)
    if stated is None:
        return (), None, None
    name, times = stated.name.value, stated.count or Fact(1, Source.DEFAULT, profile.position)
    if name == "cpu" or name.startswith("google-tpu"):
        return (), None, Fact("cpu" if name == "cpu" else "tpu", Source.STATED, profile.position)
    choices: tuple[GpuChoice, ...] = ()
    count = times
    for values in tree.with_key("resourceProfiles", profile.file):
        defined = values.get("resourceProfiles", name)
        if defined is None:
            continue
        choices = choices or selector_gpus(defined.get("nodeSelector"))
        per_unit, _, _ = resource_gpus(defined)
        if per_unit:
            count = Fact(times.value * per_unit.value, times.source, times.where)
            break
    if not choices:
        short = next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
        choices = (replace(stated, name=Fact(short, Source.INFERRED, profile.position), count=None),)
    return choices, count, None
