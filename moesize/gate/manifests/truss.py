"""Truss: accelerators by name and count, a start command or a TensorRT-LLM build."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.expansion import GPU_COUNT
from moesize.gate.facts import Fact, Source
from moesize.gate.gpus import gpus_with_count
from moesize.gate.launch import Container, find_launches
from moesize.gate.pods import environment
from moesize.gate.settings import Settings
from moesize.gate.shell import Word
from moesize.gate.tree import Tree

_BUILD = {
    "max_seq_len": "max_model_len",
    "max_batch_size": "max_num_seqs",
    "max_num_tokens": "max_num_batched_tokens",
    "tensor_parallel_count": "tensor_parallel",
    "quantization_type": "quantization",
}


def matches(document: Document) -> bool:
    """Resources with an accelerator, beside a server or a build."""
    root = document.root
    return bool(root.get("resources", "accelerator") and (root.get("trt_llm") or root.get("docker_server")))


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """The one server of the configuration."""
    root = document.root
    accelerator = root.get("resources", "accelerator")
    choice = gpus_with_count(accelerator) if accelerator else None
    variables, places = environment(
        Node({"env": root.get("environment_variables") or Node({}, root.file)}, root.file), tree, {}
    )
    count = (choice.count or Fact(1, Source.DEFAULT, choice.name.where)) if choice else None
    if count:
        variables[GPU_COUNT] = str(count.value)
    found: list[tuple[str, Settings, Node]] = []
    command = root.get("docker_server", "start_command")
    image = root.get("base_image", "image")
    if command is not None and command.text:
        argv = (
            Word("sh", command.position),
            Word("-c", command.position),
            Word(command.text, command.position, command.block),
        )
        name = (image.text or "") if image else ""
        container = Container(argv, command.position, name, own_entrypoint=False, variables=variables, places=places)
        found = [(launch.engine, launch.settings, command) for launch in find_launches(container)]
    build = root.get("trt_llm", "build")
    if build:
        settings = Settings()
        settings.give_node("model", build.get("checkpoint_repository", "repo"), "checkpoint_repository.repo")
        for key, setting in _BUILD.items():
            settings.give_node(setting, build.get(key), key)
        found.append(("tensorrt-llm", settings, build))
    for engine, settings, where in found:
        yield Draft(
            format="truss",
            kind="Truss",
            name=root.text_at("model_name") or "unnamed",
            where=where.position,
            engine=engine,
            settings=settings,
            image=image,
            gpus=(choice,) if choice else (),
            gpu_count=count,
        )
