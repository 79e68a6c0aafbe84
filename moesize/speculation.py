"""Speculative decoding as it is asked for: a short form, vLLM's `--speculative-config`, or a mapping of its keys."""

import json
from collections.abc import Mapping
from typing import Any

from moesize.engines.base import Speculation
from moesize.errors import InputError, UnknownNameError, printable
from moesize.model.drafts import prediction_layers
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.question import choose_scheme

#: Methods that are sized, and whether each needs a model of its own.
METHODS: dict[str, bool] = {
    "mtp": False,
    "eagle": True,
    "eagle3": True,
    "draft_model": True,
    "ngram": False,
    "ngram_gpu": False,
    "suffix": False,
}
#: Keys of vLLM's `SpeculativeConfig` that change what is held, and those that take no memory of their own.
_KEYS = ("method", "model", "num_speculative_tokens", "draft_tensor_parallel_size", "quantization")
_NO_MEMORY = (
    *("prompt_lookup_max", "prompt_lookup_min", "disable_by_batch_size", "disable_padded_drafter_batch", "revision"),
    *("code_revision", "max_model_len", "enforce_eager", "attention_backend", "moe_backend", "rejection_sample_method"),
    *("speculative_token_tree", "disable_logprobs", "disable_log_stats", "posterior_threshold", "posterior_alpha"),
    *("parallel_drafting", "use_local_argmax_reduction", "suffix_decoding_max_tree_depth", "acceptance_method"),
    *("suffix_decoding_max_cached_requests", "suffix_decoding_max_spec_factor", "suffix_decoding_min_token_prob"),
)
_MOST_TOKENS = 1024


def read_speculation(asked: str | Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a request: `mtp`, `ngram:5`, `eagle3:3:ORG/NAME`, a JSON object, or a mapping.

    Raises:
        InputError: no such form, an unknown key, or a number that cannot be.
    """
    if isinstance(asked, Mapping):
        given = dict(asked)
    elif asked.lstrip().startswith("{"):
        try:
            given = json.loads(asked)
        except (ValueError, RecursionError) as error:
            raise InputError(f"--speculative-config is no JSON object: {printable(str(error))}") from None
    else:
        method, _, rest = asked.strip().partition(":")
        tokens, _, model = rest.partition(":")
        given = {"method": method}
        if tokens:
            given["num_speculative_tokens"] = int(tokens) if tokens.isascii() and tokens.isdecimal() else tokens
        if model:
            given["model"] = model
    for key in given:
        if key not in _KEYS and key not in _NO_MEMORY:
            raise UnknownNameError("key of --speculative-config", str(key), (*_KEYS, *_NO_MEMORY))
    return {key: given[key] for key in _KEYS if given.get(key) is not None}


def speculation_for(
    spec: ModelSpec, asked: str | Mapping[str, Any], *, engine: str = "vllm", offline: bool = False
) -> Speculation:
    """The speculation of a request, its drafting model loaded.

    Raises:
        MoesizeError: an unknown method or model, a missing model or number of tokens.
    """
    given = read_speculation(asked)
    draft = None
    if "model" in given and not _is_own(given, spec):
        draft = load_model(_text(given, "model"), offline=offline)
    return speculation_of(spec, given, draft, engine=engine)


def speculation_of(
    spec: ModelSpec, given: Mapping[str, Any], draft: ModelSpec | None, *, engine: str = "vllm"
) -> Speculation:
    """The speculation of the keys of a request, `draft` being the model they name.

    Raises:
        MoesizeError: an unknown method, a missing model or number of tokens.
    """
    method = _method(given, draft)
    if METHODS[method] and draft is None:
        raise InputError(f"speculating with {method} takes a drafting model: name it, as in {method}:3:ORG/NAME")
    quantization = _text(given, "quantization") if "quantization" in given else None
    tp = _count(given, "draft_tensor_parallel_size") if "draft_tensor_parallel_size" in given else None
    return Speculation(
        method=method,
        tokens=_tokens(given, method, spec),
        draft=draft,
        draft_scheme=choose_scheme(draft, quantization, engine) if draft else None,
        draft_tp=tp,
    )


def _is_own(given: Mapping[str, Any], spec: ModelSpec) -> bool:
    """Whether the named model is the one that is served: its own prediction layers draft."""
    name = str(given["model"])
    mtp = str(given.get("method", "")).endswith("mtp")
    return mtp and (name in (spec.name, spec.source) or name in spec.hub_ids)


def _method(given: Mapping[str, Any], draft: ModelSpec | None) -> str:
    if "method" in given:
        return read_method(given)
    if draft is None:
        raise InputError("--speculative-config names neither a method nor a model")
    return draft.architecture if draft.architecture in METHODS else "draft_model"


def read_method(given: Mapping[str, Any]) -> str:
    """The method a request names; vLLM's older names of one family's prediction layers are `mtp`.

    Raises:
        UnknownNameError: one that is not sized.
    """
    name = _text(given, "method").strip().lower().replace("-", "_")
    name = "mtp" if name.endswith("_mtp") else name.removeprefix("[").removesuffix("]")
    if name not in METHODS:
        raise UnknownNameError("method of speculation", name, METHODS)
    return name


def _tokens(given: Mapping[str, Any], method: str, spec: ModelSpec) -> int:
    if "num_speculative_tokens" in given:
        return _count(given, "num_speculative_tokens")
    if method == "mtp":  # as many as the checkpoint has layers for it
        return max(1, len({i for t in prediction_layers(spec) for i in t.layers or ()}))
    raise InputError(f"speculating with {method} takes a number of tokens, as in {method}:3")


def _count(given: Mapping[str, Any], key: str) -> int:
    value = given[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_TOKENS:
        raise InputError(f"{key} is {printable(str(value))!r}; it is a whole number from 1 to {_MOST_TOKENS}")
    return value


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given[key]
    if not isinstance(value, str):
        raise InputError(f"{key} of --speculative-config is {printable(str(value))!r}; it is a name")
    return value
