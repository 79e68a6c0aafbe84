"""Configurations made small for the oracle: fewer layers, every kind of layer still there."""

from __future__ import annotations

from typing import Any

from moesize.model.spec import ModelSpec, Role

Config = dict[str, Any]

#: A class of transformers that reads the same tensors as a family it does not know under the checkpoint's own name.
STAND_INS = {
    "exaone_moe": ("exaone_moe", "ExaoneMoeForCausalLM"),
    "jetmoe": ("jetmoe", "JetMoeForCausalLM"),
    "kimi_k2": ("deepseek_v3", "DeepseekV3ForCausalLM"),
    "kimi_k25": ("kimi_k25", "Kimi_K25ForConditionalGeneration"),
    "minimax_m1": ("minimax", "MiniMaxForCausalLM"),
    "minimax_text_01": ("minimax", "MiniMaxForCausalLM"),
    "phimoe": ("phimoe", "PhimoeForCausalLM"),
}

#: Keys that count layers, and keys that list layers by their index.
COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
INDICES = (
    "mlp_only_layers", "cross_attention_layers", "moe_layers", "full_attn_idxs", "attn_layer_indices", "dense_layers",
    "skip_layers", "global_attn_idx", "global_layers",
)  # fmt: skip
#: The same, counted from one.
INDICES_FROM_ONE = ("kda_layers", "full_attn_layers")

#: Keys that count routed experts, and those a token is routed to.
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
PER_TOKEN = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "moe_k",
    "moe_topk",
    "moe_top_k",
    "top_k_experts",
    "num_selected_experts",
)

#: Keys that change no tensor's name or shape.
NO_SHAPE = (
    "quantization_config", "rope_theta", "rope_scaling", "rope_parameters", "max_position_embeddings", "torch_dtype",
    "dtype", "sliding_window", "topk_method", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


def for_oracle(config: Config) -> Config:
    """`config` as transformers knows it, without the quantisation its classes would want packages for."""
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    if isinstance(plain.get("text_config"), dict):
        plain["text_config"] = for_oracle(plain["text_config"])
    if config.get("model_type") == "glm":  # the class's own padding token lies beyond GLM-Edge's vocabulary
        plain.setdefault("pad_token_id", None)
    if "attn_type_list" in plain:  # MiniMax's own way to say it
        plain["layer_types"] = [("linear_attention", "full_attention")[kind] for kind in plain["attn_type_list"]]
    model_type, architecture = STAND_INS.get(config.get("model_type", ""), (None, None))
    return {**plain, "model_type": model_type, "architectures": [architecture]} if model_type else plain


def shape_key(config: Config) -> str:
    """What decides names and shapes: equal for a checkpoint and its quantised copies."""
    kept = {key: value for key, value in config.items() if key not in NO_SHAPE}
    if isinstance(kept.get("text_config"), dict):
        kept["text_config"] = shape_key(kept["text_config"])
    return repr(sorted(kept.items()))


def fewer_layers(config: Config, spec: ModelSpec) -> Config:
    """The same model cut after the first layers in which every kind of layer of `spec` has occurred.

    Experts are alike by construction and counted at full depth: a few of them are enough for names and shapes.
    """
    config = comparable(_fewer_experts(config))
    if config["model_type"] in ("switch_transformers", "t5"):
        return _fewer_blocks(config)
    if isinstance(config.get("text_config"), dict):
        return {**config, "text_config": _fewer_text_layers(config["text_config"], spec)}
    return _fewer_text_layers(config, spec)


def _fewer_experts(config: Config) -> Config:
    small = {key: min(config[key], 2) for key in (*EXPERTS, *PER_TOKEN) if isinstance(config.get(key), int)}
    if isinstance(config.get("text_config"), dict):
        small["text_config"] = _fewer_experts(config["text_config"])
    return {**config, **small}


def _fewer_text_layers(config: Config, spec: ModelSpec) -> Config:
    shared = config.get("num_kv_shared_layers") or 0
    if not shared:
        return _cut(config, spec.num_layers, _enough_layers(spec))
    # The last layers read the others' keys and values: as many of them as of the ones that own theirs.
    owners = _enough_layers(spec, below=spec.num_layers - shared)
    return {**_cut(config, spec.num_layers, 2 * owners), "num_kv_shared_layers": owners}


def _enough_layers(spec: ModelSpec, below: int | None = None) -> int:
    kinds: dict[int, set[tuple[object, ...]]] = {}
    for tensor in spec.tensors:
        if tensor.loaded and tensor.role not in (Role.VISION, Role.AUDIO):
            for layer in (i for i in tensor.layers or () if below is None or i < below):
                kinds.setdefault(layer, set()).add((tensor.name, tensor.shape, tensor.experts))
    wanted = {frozenset(kind) for kind in kinds.values()}
    seen: set[frozenset[tuple[object, ...]]] = set()
    for layer in sorted(kinds):
        seen.add(frozenset(kinds[layer]))
        if seen == wanted:
            return max(2, layer + 1)
    return spec.num_layers


def _cut(config: Config, before: int, layers: int) -> Config:
    small = {name: _cut_value(name, value, before, layers) for name, value in config.items()}
    return {**small, **{key: layers for key in COUNTS if key in config}}


def _cut_value(name: str, value: Any, before: int, layers: int) -> Any:
    if name in INDICES and isinstance(value, list):
        return [i for i in value if i < layers]
    if name in INDICES_FROM_ONE and isinstance(value, list):
        return [i for i in value if i <= layers]
    if isinstance(value, list | str) and len(value) == before:
        return value[:layers]
    if isinstance(value, dict):
        return {key: _cut_value(key, inner, before, layers) for key, inner in value.items()}
    return value


def _fewer_blocks(config: Config) -> Config:
    """One dense and one sparse block of each stack, or two sparse ones where all are."""
    small = {**config, "num_layers": 2, "num_decoder_layers": 2}
    for stack, total in (("encoder", "num_layers"), ("decoder", "num_decoder_layers")):
        key = f"num_sparse_{stack}_layers"
        if key in config:
            small[key] = 2 if config[key] == config[total] else 1
    return small


def comparable(config: Config) -> Config:
    """The configuration without what transformers' class of it cannot afford or gets wrong; a comparison otherwise.

    Switch's experts are modules one by one: 16 must do. Untied, its class gives each stack an embedding of its own,
    which no checkpoint stores. LongCat's class stores weights for experts that only hand their input on.
    """
    if config["model_type"] == "switch_transformers":
        return {**config, "num_experts": min(config["num_experts"], 16), "tie_word_embeddings": True}
    if config["model_type"] == "longcat_flash":
        return {**config, "zero_expert_num": 0}
    return config
