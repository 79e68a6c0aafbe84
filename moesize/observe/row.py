"""An observation as a row of `validation/data/`, for measurements people contribute."""

from typing import Any

from moesize.observe.observation import Observation
from moesize.observe.question import Answered

_FIGURES = ("weights_gib", "activation_gib", "non_torch_gib", "graphs_gib", "graph_estimate_gib", "kv_gib")
_COUNTS = ("kv_tokens", "concurrency", "block_tokens")
_STEP = ("max_model_len", "max_num_batched_tokens", "max_num_seqs", "gpu_memory_utilization", "enforce_eager")
_STARTUP = ("prefix_caching", "language_model_only", "flashinfer_sampler", "max_cudagraph_capture_size")
_ASKED = ("kv_dtype", "tp", "pp", "dp", "ep", "dcp", *_STEP, *_STARTUP)
_ONE_GPU = {"tp": 1, "pp": 1, "dp": 1, "ep": False, "dcp": 1}
_DEFAULTS = {"kv_dtype": "auto", **_ONE_GPU, "enforce_eager": False, "language_model_only": False}
_WHOLE = ("kv_tokens", "block_tokens")


def row_yaml(seen: Observation, answered: Answered, source: str) -> str:
    """The YAML text of one row, to append to a file's `rows`."""
    import yaml  # noqa: PLC0415  only --as-row writes one

    entry = [row(seen, answered, source)]
    text: str = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=200)
    return text


def row(seen: Observation, answered: Answered, source: str) -> dict[str, Any]:
    """What was asked of the server and what it printed; settings at their defaults are left out."""
    asked: dict[str, Any] = {"model": answered.model}
    if answered.question is not None and not answered.question.scheme.from_checkpoint:
        asked["quant"] = answered.question.scheme.name
    asked["version"] = seen.version
    asked["gpu"] = answered.question.gpu.id if answered.question is not None and answered.gpu else None
    asked["gpu_total_gib"] = seen.figure("gpu_total_gib")
    asked |= {name: seen.settings.get(name) for name in _ASKED} | {"speculative": _speculative(seen)}
    kept = {k: v for k, v in asked.items() if v is not None and (k not in _DEFAULTS or v != _DEFAULTS[k])}
    printed = {name: seen.figure(name) for name in (*_FIGURES, *_COUNTS)}
    observed: dict[str, Any] = {k: int(v) if k in _WHOLE else v for k, v in printed.items() if v is not None}
    if seen.outcome:
        observed["outcome"] = seen.outcome
    named = str(kept["model"]).lower()
    return {
        "id": f"{seen.engine}-{seen.version or 'unknown'}-{named}",
        "source": source,
        "asked": kept,
        "observed": observed,
    }


def _speculative(seen: Observation) -> str | None:
    """What the server drafted with, in the short form of `--speculative`; its own layers' name is the model's."""
    method, model, tokens = (seen.settings.get(f"speculative_{key}") for key in ("method", "model", "tokens"))
    if tokens is None:
        return None
    own = model is None or model == seen.settings.get("model")
    return f"{method}:{tokens}" if own else f"{method}:{tokens}:{model}"
