"""From a GGUF header to a spec: tensors as they are stored, each with its type; caches from the metadata.

llama.cpp's keys mean the same for every architecture (`src/llama-hparams.cpp`, `src/llama-model.cpp` of
https://github.com/ggml-org/llama.cpp): what a layer keeps follows from its heads, its tensors and its window.
"""

from collections.abc import Sequence
from math import prod
from typing import Final

from moesize.errors import InputError, printable
from moesize.model.fields import MAX_LAYERS, Fields
from moesize.model.ggml import FILE_TYPES
from moesize.model.gguf import GgufHeader, GgufTensor
from moesize.model.gguf_names import is_buffer, layer_of, meaning_of, pattern_of
from moesize.model.spec import Attention, Cache, CacheKind, Kind, ModelSpec, Role, State, Tensor

#: Families under their names here, where llama.cpp's differ.
_FAMILIES: Final = {
    "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "qwen3next": "qwen3_next", "qwen35": "qwen3_5",
    "qwen35moe": "qwen3_5_moe", "deepseek": "deepseek", "deepseek2": "deepseek_v3", "gpt-oss": "gpt_oss",
    "command-r": "cohere", "glm4moe": "glm4_moe", "minimax-m2": "minimax_m2", "ernie4_5-moe": "ernie4_5_moe",
    "hunyuan-moe": "hunyuan_v1_moe", "gptneox": "gpt_neox", "granitehybrid": "granitemoehybrid",
    "gemma3": "gemma3_text", "phi2": "phi", "bailingmoe": "bailing_moe", "exaone-moe": "exaone_moe",
    "falcon-h1": "falcon_h1",
}  # fmt: skip

#: Layers out of which one sees everything, where llama.cpp's code says so and not the file; the last of each run does.
_PATTERNS: Final = {
    "gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4, "llama4": 4, "exaone4": 4, "olmo2": 4,
    "afmoe": 4, "smallthinker": 4,
}  # fmt: skip
#: Where the window is a chunk the keys of which are dropped together.
_CHUNKED: Final = {"llama4": 8192}

#: llama.cpp keeps recurrent and convolution states in 32 bits.
_STATE_DTYPE: Final = "float32"


def model_of(header: GgufHeader, where: str, stem: str) -> ModelSpec:
    """The spec of a header.

    Raises:
        InputError: a key that is missing or cannot be right.
    """
    general = Fields(header.metadata, where)
    architecture = general.text("general.architecture")
    if architecture in ("clip", "mmproj") or not any(t.name.startswith("token_embd") for t in header.tensors):
        raise InputError(f"{where} holds no language model but a part of one ({printable(architecture)})")
    keys = Fields(_own_keys(header, architecture), f"{where}: {printable(architecture)}")
    blocks = keys.layer_count("block_count")
    drafts = keys.count("nextn_predict_layers", default=0, minimum=0, maximum=blocks - 1)
    per_token = keys.expert_count("expert_used_count", default=0, minimum=0)
    tensors = [
        *_grouped(header.tensors, blocks, per_token, first_draft=blocks - drafts),
        *_tied_head(header.tensors),
    ]
    attending = _attending(header.tensors, blocks - drafts)
    caches, attentions = _attention(keys, architecture, attending, header.tensors)
    states = _states(keys, header.tensors, blocks - drafts)
    routed = any(t.role is Role.ROUTED_EXPERT for t in tensors)
    family = "mixtral" if architecture == "llama" and routed else _FAMILIES.get(architecture, architecture)
    file_type = header.metadata.get("general.file_type")
    return ModelSpec(
        name=printable(str(header.metadata.get("general.name") or stem)),
        source=where,
        architecture=family,
        num_layers=blocks - drafts,
        hidden_size=keys.count("embedding_length"),
        vocab_size=_vocabulary(header.tensors),
        context_length=keys.maybe_count("context_length"),
        dtype="bfloat16" if any(t.type.name == "bfloat16" for t in header.tensors) else "float16",
        tensors=tuple(tensors),
        caches=(*caches, *states),
        attentions=tuple(attentions),
        shared_experts=keys.count("expert_shared_count", default=0, minimum=0),
        quantization_config={
            "quant_method": "gguf",
            "file_type": FILE_TYPES.get(file_type, "mixed") if isinstance(file_type, int) else "mixed",
        },
        stored_bytes=sum(t.n_bytes for t in header.tensors),
    )


def _own_keys(header: GgufHeader, architecture: str) -> dict[str, object]:
    """The architecture's keys without its name; a list longer than what is kept appears as missing."""
    prefix = f"{architecture}."
    return {key[len(prefix) :]: value for key, value in header.metadata.items() if key.startswith(prefix)}


def _grouped(tensors: Sequence[GgufTensor], blocks: int, per_token: int, *, first_draft: int) -> list[Tensor]:
    """One tensor for every name, shape and type, in all its layers and experts."""
    groups: dict[tuple[str, tuple[int, ...], str, bool], dict[int | None, int]] = {}
    for one in tensors:
        layer = layer_of(one.name)
        if layer is not None and layer >= blocks:
            raise InputError(f"{printable(one.name)}: the model has {blocks} blocks")
        loaded = layer is None or layer < first_draft
        in_layers = groups.setdefault((pattern_of(one.name), one.shape, one.type.name, loaded), {})
        in_layers[layer] = in_layers.get(layer, 0) + 1
    found: list[Tensor] = []
    for (pattern, shape, kind, loaded), in_layers in groups.items():
        for count in sorted(set(in_layers.values())):
            layers = tuple(sorted(i for i, n in in_layers.items() if n == count and i is not None))
            found.append(_tensor(pattern, shape, kind, layers or None, count, per_token, loaded=loaded))
    return found


def _tensor(
    pattern: str,
    shape: tuple[int, ...],
    kind: str,
    layers: tuple[int, ...] | None,
    copies: int,
    per_token: int,
    *,
    loaded: bool,
) -> Tensor:
    meaning = meaning_of(pattern, len(shape))
    experts = copies if "{expert}" in pattern else 0
    if meaning.stacked_experts:
        experts, shape = shape[0], shape[1:]
    elif len(shape) > 2 and meaning.kind is Kind.LINEAR:
        # a matrix per head, as MLA's absorbed projections: the same bytes as one tall matrix
        shape = (prod(shape[:-1]), shape[-1])
    return Tensor(
        pattern, shape, meaning.role, meaning.kind, layers,
        experts=experts, active_experts=min(per_token, experts), split=meaning.split, dtype=kind, loaded=loaded,
        buffer=is_buffer(pattern),
    )  # fmt: skip


def _tied_head(tensors: Sequence[GgufTensor]) -> list[Tensor]:
    """The head of a file that has none of its own: the embedding's."""
    if any(t.name == "output.weight" for t in tensors):
        return []
    table = next(t for t in tensors if t.name.startswith("token_embd"))
    meaning = meaning_of("output.weight", 2)
    return [
        Tensor(
            "output.weight", table.shape, meaning.role, meaning.kind,
            split=meaning.split, dtype=table.type.name, tied_to=table.name,
        )
    ]  # fmt: skip


def _vocabulary(tensors: Sequence[GgufTensor]) -> int | None:
    table = next(t for t in tensors if t.name.startswith("token_embd"))
    return table.shape[0] if len(table.shape) == 2 else None


def _attending(tensors: Sequence[GgufTensor], layers: int) -> dict[int, str]:
    """Which layers attend, and by which matrix they make their keys."""
    makers = ("attn_k.weight", "attn_qkv.weight", "attn_kv_a_mqa.weight")
    linear = {layer_of(t.name) for t in tensors if ".ssm_" in t.name}
    found: dict[int, str] = {}
    for tensor in tensors:
        layer, _, maker = tensor.name.removeprefix("blk.").partition(".")
        if maker not in makers or not tensor.name.startswith("blk.") or not layer.isdecimal() or int(layer) >= layers:
            continue
        # a gated delta net also calls its input matrix attn_qkv
        if not (maker == "attn_qkv.weight" and int(layer) in linear):
            found[int(layer)] = maker
    return dict(sorted(found.items()))


def _per_layer(keys: Fields, name: str, layers: int, default: int) -> tuple[int, ...]:
    """A key that is one number for all layers or a list of one each."""
    value = keys.values.get(name)
    if isinstance(value, list):
        each = keys.counts(name)
        if len(each) < layers:
            raise InputError(f"{keys.where}: {name} names {len(each)} layers of {layers}")
        return each
    return (keys.count(name, default=default, minimum=0),) * layers


def _attention(
    keys: Fields, architecture: str, attending: dict[int, str], tensors: Sequence[GgufTensor]
) -> tuple[list[Cache], list[Attention]]:
    """What attending layers keep and multiply, layers of a kind together."""
    if not attending:
        return [], []
    blocks = min(MAX_LAYERS, max(attending) + 1)
    heads = _per_layer(keys, "attention.head_count", blocks, 0)
    kv_heads = _per_layer(keys, "attention.head_count_kv", blocks, max(heads))
    sliding = _sliding(keys, architecture, blocks)
    window = keys.maybe_count("attention.sliding_window") or _CHUNKED.get(architecture)
    indexed = {layer_of(t.name) for t in tensors if ".indexer." in t.name}
    absorbed = keys.has("attention.key_length_mla") or any(t.name.endswith(".attn_k_b.weight") for t in tensors)
    last_owner = blocks - keys.count("attention.shared_kv_layers", default=0, minimum=0, maximum=blocks)
    caches: dict[tuple[CacheKind, int, int, int, int | None, int], list[int]] = {}
    products: dict[tuple[int, int, int, int | None], list[int]] = {}
    for layer, maker in attending.items():
        if not heads[layer]:
            continue
        ending = "_swa" if sliding[layer] and keys.has("attention.key_length_swa") else ""
        implied = keys.count("embedding_length") // heads[layer]
        key = keys.count(f"attention.key_length{ending}", default=implied)
        value = keys.count(f"attention.value_length{ending}", default=implied)
        seen = window if sliding[layer] else None
        latent = maker.startswith("attn_kv_a") and absorbed
        if latent:
            key = keys.count("attention.kv_lora_rank") + keys.count("rope.dimension_count")
        kind = CacheKind.LATENT if latent else CacheKind.FULL
        if seen:
            kind = CacheKind.CHUNKED if architecture in _CHUNKED else CacheKind.SLIDING
        entry = (kind, 1, key, 0) if latent else (kind, kv_heads[layer], key, value)
        if layer < last_owner:
            rope = keys.count("rope.dimension_count") if latent else 0
            caches.setdefault((*entry, seen, rope), []).append(layer)
            if layer in indexed and keys.has("attention.indexer.key_length"):
                size = keys.count("attention.indexer.key_length")
                caches.setdefault((CacheKind.INDEXER, 1, size, 0, None, 0), []).append(layer)
        q_dim = keys.count("attention.key_length_mla", default=key) if latent else key
        v_dim = keys.count("attention.value_length_mla", default=value) if latent else value
        products.setdefault((heads[layer], q_dim, v_dim, seen), []).append(layer)
    return (
        [
            Cache(kind, tuple(layers), n, key, value, seen, rope_dim=rope)
            for (kind, n, key, value, seen, rope), layers in caches.items()
        ],
        [Attention(tuple(layers), n, key, value, seen) for (n, key, value, seen), layers in products.items()],
    )


def _sliding(keys: Fields, architecture: str, blocks: int) -> tuple[bool, ...]:
    """Which layers see a window only."""
    windowed = keys.has("attention.sliding_window") or architecture in _CHUNKED
    pattern = keys.values.get("attention.sliding_window_pattern")
    if not windowed:
        return (False,) * blocks
    if isinstance(pattern, list):
        flags = keys.counts("attention.sliding_window_pattern") if pattern and type(pattern[0]) is int else pattern
        if len(flags) < blocks:
            raise InputError(f"{keys.where}: sliding_window_pattern names {len(flags)} layers of {blocks}")
        return tuple(bool(flag) for flag in flags)
    period = keys.count("attention.sliding_window_pattern", default=_PATTERNS.get(architecture, 0), minimum=0)
    # llama.cpp heeds a window only where it knows which layers have it
    return tuple(bool(period) and layer % period < period - 1 for layer in range(blocks))


def _states(keys: Fields, tensors: Sequence[GgufTensor], layers: int) -> list[Cache]:
    """What recurrent layers keep for each sequence: `n_embd_r` and `n_embd_s` of llama.cpp's `llama-hparams.cpp`."""

    def having(part: str) -> tuple[int, ...]:
        found = {layer_of(t.name) for t in tensors if part in t.name}
        return tuple(sorted(i for i in found if i is not None and i < layers))

    short = having(".shortconv.")
    if short:
        kept = keys.count("shortconv.l_cache") - 1
        shape = (keys.count("embedding_length"), kept)
        return [Cache(CacheKind.STATE, short, states=(State("conv", shape, _STATE_DTYPE),), mixer="short_conv")]
    recurrent = having(".ssm_")
    if not recurrent:
        return []
    kernel = keys.count("ssm.conv_kernel") - 1
    conv: tuple[int, ...]
    memory: tuple[int, ...]
    if keys.has("kda.head_dim"):
        size, heads = keys.count("kda.head_dim"), max(_per_layer(keys, "attention.head_count", layers, 0))
        conv, memory, mixer = (3 * heads * size, kernel), (heads, size, size), "kda"
    else:
        inner, state = keys.count("ssm.inner_size"), keys.count("ssm.state_size")
        groups = keys.count("ssm.group_count", default=0, minimum=0)
        conv, memory = (inner + 2 * groups * state, kernel), (inner, state)
        mixer = "gdn" if having(".ssm_beta") or having(".ssm_ba") else "mamba2" if groups else "mamba1"
    states = (State("conv", conv, _STATE_DTYPE), State("recurrent", memory, _STATE_DTYPE))
    return [Cache(CacheKind.STATE, recurrent, states=states, mixer=mixer)]
