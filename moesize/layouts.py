"""Layouts worth trying, from few GPUs to many, and the smallest that fits."""

from collections.abc import Iterator
from dataclasses import replace

from moesize.errors import MoesizeError
from moesize.memory.layout import Layout
from moesize.question import LAYER_SPLIT_ENGINES, Evaluation, Question, evaluate

#: GPUs of one node, over which tensor parallelism runs; more nodes are pipeline stages.
NODE_GPUS = 8
MAX_GPUS = 64


def layouts(max_gpus: int = MAX_GPUS, engine: str = "vllm") -> Iterator[Layout]:
    """Tensor parallel within a node (1, 2, 4, 8), pipeline stages across nodes, by number of GPUs.

    Engines that split by layers take the GPUs of one node as stages.
    """
    if engine in LAYER_SPLIT_ENGINES:
        yield from (Layout(1, stages) for stages in range(1, min(NODE_GPUS, max_gpus) + 1))
        return
    tp = 1
    while tp <= min(NODE_GPUS, max_gpus):
        yield Layout(tp)
        tp *= 2
    pp = 2
    while NODE_GPUS * pp <= max_gpus:
        yield Layout(NODE_GPUS, pp)
        pp *= 2


def one_node_gpus(question: Question) -> int:
    """GPUs that have to stand in one node: a tensor-parallel group, or all stages where an engine splits by layers."""
    layout = question.layout
    return layout.pp if question.engine in LAYER_SPLIT_ENGINES else min(layout.tp, NODE_GPUS)


def smallest_fit(
    question: Question, *, max_gpus: int = MAX_GPUS, strict: bool = True
) -> tuple[Question, Evaluation] | None:
    """The question with the fewest GPUs it fits on, and its evaluation; None when none of `layouts` does.

    `strict` takes `fits` alone, otherwise `tight` will do. Layouts the model's shapes do not allow are passed over.
    """
    for layout in layouts(max_gpus, question.engine):
        if hopeless(question, layout):
            continue
        asked = replace(question, layout=layout)
        try:
            evaluation = evaluate(asked)
        except MoesizeError:
            continue
        if evaluation.judgement.verdict == "fits" or (not strict and evaluation.judgement.verdict == "tight"):
            return asked, evaluation
    return None


def hopeless(question: Question, layout: Layout) -> bool:
    """Whether weights alone, divided as well as could be, are more than all cards hold."""
    return whole_weights_bytes(question) > layout.gpus * question.gpu.memory_high_bytes


def whole_weights_bytes(question: Question) -> int:
    """Bytes of all loaded tensors, undivided; the scheme remembers them from the first time."""
    spec, scheme = question.spec, question.scheme
    return 0 if spec.counts else sum(scheme.tensor_bytes(t) for t in spec.tensors if t.loaded)
