"""Layouts worth trying, from few GPUs to many, and the smallest that fits."""

from collections.abc import Iterator
from dataclasses import replace

from moesize.errors import MoesizeError
from moesize.memory.layout import Layout
from moesize.question import Evaluation, Question, evaluate

#: GPUs of one node, over which tensor parallelism runs; more nodes are pipeline stages.
NODE_GPUS = 8
MAX_GPUS = 64


def layouts(max_gpus: int = MAX_GPUS) -> Iterator[Layout]:
    """Tensor parallel within a node (1, 2, 4, 8), pipeline stages across nodes, by number of GPUs."""
    tp = 1
    while tp <= min(NODE_GPUS, max_gpus):
        yield Layout(tp)
        tp *= 2
    pp = 2
    while NODE_GPUS * pp <= max_gpus:
        yield Layout(NODE_GPUS, pp)
        pp *= 2


def smallest_fit(
    question: Question, *, max_gpus: int = MAX_GPUS, strict: bool = True
) -> tuple[Question, Evaluation] | None:
    """The question with the fewest GPUs it fits on, and its evaluation; None when none of `layouts` does.

    `strict` takes `fits` alone, otherwise `tight` will do. Layouts the model's shapes do not allow are passed over.
    """
    for layout in layouts(max_gpus):
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
