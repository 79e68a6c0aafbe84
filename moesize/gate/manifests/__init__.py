"""Readers, one per format: `matches(document)` says whether a document is of the format, `read` what it serves.

The first that matches reads; the more particular stand before the more general.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from moesize.gate.assemble import Draft
from moesize.gate.document import Document
from moesize.gate.manifests import (
    aibrix,
    bentoml,
    compose,
    dstack,
    dynamo,
    engine_config,
    helm_values,
    kaito,
    kserve,
    kubeai,
    kubernetes,
    leaderworkerset,
    llama_swap,
    llmd,
    llmisvc,
    plain,
    production_stack,
    ray,
    sagemaker,
    skypilot,
    truss,
)
from moesize.gate.tree import Tree


class Reader(Protocol):
    """What a module of this package offers."""

    def matches(self, document: Document) -> bool:
        """Whether the document is of the reader's format."""

    def read(self, document: Document, tree: Tree) -> Iterator[Draft]:
        """What the document serves."""


READERS: Final[tuple[Reader, ...]] = (
    leaderworkerset,
    llmisvc,
    kserve,
    ray,
    dynamo,
    aibrix,
    kaito,
    kubeai,
    production_stack,
    sagemaker,
    kubernetes,
    llmd,
    compose,
    skypilot,
    dstack,
    truss,
    llama_swap,
    bentoml,
    plain,
    engine_config,
    helm_values,
)


def read_document(document: Document, tree: Tree) -> Iterator[Draft]:
    """What a document serves; nothing where no reader knows its format."""
    for reader in READERS:
        if reader.matches(document):
            yield from reader.read(document, tree)
            return
