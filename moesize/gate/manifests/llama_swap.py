"""llama-swap: a command per model, loaded in turn."""

import re
from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document
from moesize.gate.expansion import MAX_WORD_CHARACTERS
from moesize.gate.launch import Container, find_launches
from moesize.gate.manifests.compose import split_words
from moesize.gate.shell import Word
from moesize.gate.tree import Tree

_MACRO = re.compile(r"\$\{([\w.-]+)\}")


def matches(document: Document) -> bool:
    """Models with commands."""
    models = document.root.get("models")
    return bool(models and any(model.text_at("cmd") for model in models.mapping.values()))


def read(document: Document, tree: Tree) -> Iterator[Draft]:  # noqa: ARG001  the file refers to nothing
    """One draft per model."""
    root = document.root
    macros = root.get("macros")
    values = {name: node.text or "" for name, node in (macros.mapping.items() if macros else ())}
    models = root.get("models")
    for name, model in models.mapping.items() if models else ():
        command = model.get("cmd")
        if command is None or not command.text:
            continue
        text = command.text
        for _ in range(3):  # macros may hold macros
            text = _MACRO.sub(lambda match: values.get(match.group(1), match.group(0)), text)[:MAX_WORD_CHARACTERS]
        argv = split_words(Word(text, command.position, command.block))
        for launch in find_launches(Container(argv, command.position, "", own_entrypoint=False)):
            yield Draft(
                format="llama-swap",
                kind="Model",
                name=name,
                where=launch.where,
                engine=launch.engine,
                settings=launch.settings,
            )
