"""Config files of the engines themselves: vLLM's `--config`, TensorRT-LLM's; often without the model."""

from collections.abc import Iterator
from typing import Final

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.flags import TRTLLM, VLLM
from moesize.gate.gpus import integer
from moesize.gate.pods import give_engine_config
from moesize.gate.settings import Settings, setting_of
from moesize.gate.tree import Tree

#: One of these must be there: they are nobody else's words.
_VLLM_WORDS: Final = frozenset(
    (
        "max-model-len",
        "max-num-batched-tokens",
        "max-num-seqs",
        "gpu-memory-utilization",
        "tensor-parallel-size",
        "kv-cache-dtype",
    )
)
_SWITCH_PREFIXES: Final = ("enable-", "disable-", "no-enable-", "no-disable-")
_TRTLLM_WORDS: Final = frozenset(("kv_cache_config", "moe_config", "enable_attention_dp", "cuda_graph_config"))
_SERVERS: Final = ("context_servers", "generation_servers")


def matches(document: Document) -> bool:
    """Flat keys that are all flags of vLLM, or keys only TensorRT-LLM has."""
    root = document.root
    if root.get("kind") or not root.mapping:
        return False
    return _is_vllm(root) or _is_trtllm(root) or any(root.get(key) for key in _SERVERS)


def read(document: Document, tree: Tree) -> Iterator[Draft]:  # noqa: ARG001  a config file refers to nothing
    """One draft; for disaggregated TensorRT-LLM one for each kind of server."""
    root = document.root
    if _is_vllm(root):
        yield _draft(root, "vllm", root)
        return
    servers = [(key, node) for key in _SERVERS if (node := root.get(key))]
    for key, node in servers:
        draft = _draft(root, "tensorrt-llm", node)
        give_engine_config("tensorrt-llm", root, draft.settings)
        draft.role = "prefill" if key == "context_servers" else "decode"
        draft.replicas = integer(node.get("num_instances"))
        yield draft
    if not servers:
        yield _draft(root, "tensorrt-llm", root)


def _is_vllm(root: Node) -> bool:
    keys = {key.replace("_", "-") for key in root.mapping}
    if not keys & _VLLM_WORDS or len(keys) < 2:
        return False
    return all(
        setting_of(VLLM, k) or k in VLLM.others or k in VLLM.switches or k.startswith(_SWITCH_PREFIXES) for k in keys
    )


def _is_trtllm(root: Node) -> bool:
    keys = set(root.mapping)
    return bool(keys & _TRTLLM_WORDS) and any(setting_of(TRTLLM, key) for key in keys)


def _draft(root: Node, engine: str, config: Node) -> Draft:
    settings = Settings()
    give_engine_config(engine, config, settings)
    return Draft(
        format="engine-config",
        kind="Config",
        name=root.file.rpartition("/")[2].rpartition(".")[0],
        where=config.position,
        engine=engine,
        settings=settings,
    )
