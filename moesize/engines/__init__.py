"""The serving engines, by name. Adding one is a module with a class of `base.Engine` and its line here."""

from importlib import import_module

from moesize.engines.base import Engine
from moesize.errors import UnknownNameError

#: name -> (module, class)
ENGINES: dict[str, tuple[str, str]] = {
    "vllm": ("moesize.engines.vllm.engine", "Vllm"),
    "sglang": ("moesize.engines.sglang.engine", "SgLang"),
    "llama.cpp": ("moesize.engines.llama_cpp.engine", "LlamaCpp"),
    "ollama": ("moesize.engines.llama_cpp.engine", "Ollama"),
    "tensorrt-llm": ("moesize.engines.tensorrt_llm.engine", "TensorRtLlm"),
    "transformers": ("moesize.engines.transformers.engine", "Transformers"),
    "tgi": ("moesize.engines.tgi.engine", "Tgi"),
    "deepspeed": ("moesize.engines.deepspeed.engine", "DeepSpeed"),
}


def load_engine(name: str) -> Engine:
    """The engine of a name.

    Raises:
        UnknownNameError: no such engine.
    """
    found = ENGINES.get(name.lower())
    if found is None:
        raise UnknownNameError("engine", name, ENGINES)
    engine: Engine = getattr(import_module(found[0]), found[1])()
    return engine
