"""moesize's own form: `{model, gpu, quant, …}` with the names of `moesize check`'s options, one or a list."""

from collections.abc import Iterator
from typing import Final

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Source
from moesize.gate.flags import DIALECTS
from moesize.gate.gpus import gpus_with_count, integer, named_gpu
from moesize.gate.settings import Settings
from moesize.gate.tree import Tree

#: Keys by setting; both `check`'s own names and vLLM's.
_KEYS: Final = {
    "model": "model",
    "revision": "revision",
    "quant": "quantization",
    "quantization": "quantization",
    "dtype": "dtype",
    "kv-dtype": "kv_cache_dtype",
    "kv-cache-dtype": "kv_cache_dtype",
    "context": "max_model_len",
    "max-model-len": "max_model_len",
    "concurrency": "concurrency",
    "max-num-seqs": "max_num_seqs",
    "max-num-batched-tokens": "max_num_batched_tokens",
    "tp": "tensor_parallel",
    "tensor-parallel-size": "tensor_parallel",
    "pp": "pipeline_parallel",
    "pipeline-parallel-size": "pipeline_parallel",
    "dp": "data_parallel",
    "data-parallel-size": "data_parallel",
    "ep": "expert_parallel",
    "enable-expert-parallel": "expert_parallel",
    "gpu-memory-utilization": "gpu_memory_utilization",
    "cpu-offload-gib": "cpu_offload_gib",
    "cpu-offload": "cpu_offload_gib",
    "enforce-eager": "enforce_eager",
}
_OTHERS: Final = frozenset(("gpu", "gpus", "engine", "engine-version", "name", "replicas", "nodes", "description"))
_LISTS: Final = ("deployments", "models")


def matches(document: Document) -> bool:
    """A model and a GPU, both as plain text."""
    return any(True for _ in _entries(document.root))


def read(document: Document, tree: Tree) -> Iterator[Draft]:  # noqa: ARG001  the form refers to nothing
    """One draft per entry."""
    for entry in _entries(document.root):
        settings = Settings()
        for key, node in entry.mapping.items():
            plain = key.replace("_", "-")
            if plain in _KEYS:
                settings.give_node(_KEYS[plain], node, key)
            elif plain not in _OTHERS:
                settings.ignored(key, node, f"{key} is no key of this form")
        engine = entry.text_at("engine")
        gpu = entry.get("gpu")
        # A GPU may be any of several, and may carry its number: `H100:8`.
        choices = [
            c for node in (gpu.elements or (gpu,) if gpu else ()) if (c := gpus_with_count(node) if node.text else None)
        ]
        if gpu is not None and gpu.text and "g." in gpu.text:  # a MIG profile, not a count
            choices = [c] if (c := named_gpu(gpu)) else []
        yield Draft(
            format="plain",
            kind="Check",
            name=entry.text_at("name") or entry.text_at("model") or "unnamed",
            where=entry.position,
            engine=_engine(engine),
            engine_source=Source.STATED if engine else Source.DEFAULT,
            settings=settings,
            gpus=tuple(choices),
            gpu_count=integer(entry.get("gpus")) or (choices[0].count if len(choices) == 1 else None),
            nodes=integer(entry.get("nodes")),
            replicas=integer(entry.get("replicas")),
        )


def _entries(root: Node) -> Iterator[Node]:
    for entry in (root, *root.elements, *(e for key in _LISTS if (found := root.get(key)) for e in found.elements)):
        gpu = entry.get("gpu")
        if entry.text_at("model") and gpu is not None and (gpu.text or gpu.elements) and not entry.get("kind"):
            yield entry


def _engine(stated: str | None) -> str:
    if stated is None:
        return "vllm"
    return stated if stated in DIALECTS or stated == "transformers" else "unknown"
