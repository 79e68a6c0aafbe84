"""BentoML builds: `args` in YAML, or `[tool.bentoml.build.args]` of a pyproject.toml."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, Source
from moesize.gate.flags import VLLM
from moesize.gate.gpus import integer, named_gpu
from moesize.gate.pods import words
from moesize.gate.settings import Settings, parse_flags
from moesize.gate.tree import Tree


def matches(document: Document) -> bool:
    """Arguments with a model and a GPU."""
    args = _args(document.root)
    return bool(args and args.get("model_id") and args.get("gpu_type"))


def read(document: Document, tree: Tree) -> Iterator[Draft]:  # noqa: ARG001  arguments refer to nothing
    """The one service of the build."""
    args = _args(document.root)
    if args is None:
        return
    settings = Settings()
    settings.give_node("tensor_parallel", args.get("tp"), "tp")
    settings.give_node("max_model_len", args.get("max_model_len"), "max_model_len")
    parse_flags(VLLM, words(args.get("cli_args"), {}), settings)
    settings.give_node("model", args.get("model_id"), "model_id")
    gpu = args.get("gpu_type")
    choice = named_gpu(gpu) if gpu else None
    yield Draft(
        format="bentoml",
        kind="Bento",
        name=args.text_at("name") or "unnamed",
        where=args.position,
        engine="vllm",
        settings=settings,
        gpus=(choice,) if choice else (),
        # the service asks for as many GPUs as the tensor-parallel size
        gpu_count=Fact(count.value, Source.INFERRED, count.where) if (count := integer(args.get("tp"))) else None,
    )


def _args(root: Node) -> Node | None:
    return root.get("tool", "bentoml", "build", "args") or root.get("args")
