"""GGUF labels (`q4_k_m`, `iq3_xs`, `mxfp4_moe`, …): which type llama.cpp gives to which tensor of which layer.

A label names a mix. The rules here are those of `llama_tensor_get_type_impl` in
https://github.com/ggml-org/llama.cpp/blob/master/src/llama-quant.cpp, told by what a tensor is for.
"""

from dataclasses import replace
from typing import NamedTuple

from moesize.errors import InputError, printable
from moesize.model.spec import CacheKind, Kind, ModelSpec, Role, Split, Tensor
from moesize.quant.formats import WeightFormat
from moesize.quant.gguf_rules import DEFAULTS, Facts, Use, tensor_type
from moesize.quant.gguf_types import Ggml, fitting
from moesize.quant.scheme import Part, QuantScheme, Rule, split_layers

#: Widespread labels that are a llama.cpp mix with embedding and head in Q8_0
#: (https://huggingface.co/bartowski: "uses Q8_0 for embed and output weights").
_LARGE = {"q2_k_l": "q2_k", "q3_k_xl": "q3_k_l", "q4_k_l": "q4_k_m", "q5_k_l": "q5_k_m", "q6_k_l": "q6_k"}
_SHORT = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "q8": "q8_0", "q6": "q6_k"}
#: Quantising to these needs an importance matrix.
_ALWAYS_IMATRIX = ("iq1", "iq2", "iq3_xxs", "q2_k_s")
#: Families whose converter keeps the draft layer in the file; others leave it out
#: (https://github.com/ggml-org/llama.cpp/pull/14939).
_KEEPS_DRAFT = frozenset({"glm4_moe"})
_NOT_QUANTISED = frozenset({Role.ROUTER, Role.NORM, Role.POSITION_EMBEDDING})
_SEPARATE_FILE = frozenset({Role.VISION, Role.AUDIO})


class Mix(NamedTuple):
    """A label as it was asked for."""

    label: str
    base: str
    imatrix: bool
    large: bool


def find_mix(text: str, asked: str) -> Mix | None:
    """The mix of a normalised name (`q4-k-m`, `gguf-q8-0`, `i1-iq4-xs`, `q4-0-imatrix`); None when it is none.

    Raises:
        InputError: a custom dynamic mix, which no label tells.
    """
    name = text.removeprefix("gguf-").replace("-", "_").removesuffix("_gguf")
    imatrix = name.startswith("i1_") or name.endswith(("_imatrix", "_imat"))
    name = name.removeprefix("i1_").removesuffix("_imatrix").removesuffix("_imat")
    if name.startswith("ud_"):
        raise InputError(
            f"{printable(asked)!r} is a dynamic mix that only the file's tensor list tells; give the .gguf file instead"
        )
    label = _SHORT.get(name, name)
    base = _LARGE.get(label, label)
    if base not in DEFAULTS:
        return None
    return Mix(label, base, imatrix or base.startswith(_ALWAYS_IMATRIX), base != label)


#: Schemes by mix and model: they keep what they have worked out. Held so that an id stays its owner's.
_made: dict[tuple[Mix, int], tuple[object, QuantScheme]] = {}


def mix_scheme(mix: Mix, spec: ModelSpec) -> QuantScheme:
    """The scheme of a mix on the tensors of `spec`."""
    key = (mix, id(spec.tensors))
    known = _made.get(key)
    if known is None or known[0] is not spec.tensors:
        if len(_made) >= 64:
            _made.clear()
        known = _made[key] = (spec.tensors, _new_scheme(mix, spec))
    return known[1]


def _new_scheme(mix: Mix, spec: ModelSpec) -> QuantScheme:
    name = mix.label + ("-imatrix" if mix.imatrix and not mix.base.startswith(_ALWAYS_IMATRIX) else "")
    if name in ("f16", "bf16", "f32"):
        name = f"gguf-{name}"
    notes = ("sizes follow llama.cpp's own rules for the label; a file made with tensor overrides differs",)
    return QuantScheme(name, "gguf", "float32", _rule(mix, spec), Ggml(DEFAULTS[mix.base]), notes)


def _rule(mix: Mix, spec: ModelSpec) -> Rule:
    keeps_draft = spec.architecture in _KEEPS_DRAFT
    inside = [t for t in spec.tensors if t.loaded or keeps_draft]
    matrices = [t for t in inside if t.kind is Kind.LINEAR and t.layers]
    tied = not any(t.role is Role.LM_HEAD and not t.tied_to for t in spec.tensors if t.loaded)
    native = (spec.quantization_config or {}).get("quant_method") == "mxfp4"
    experts = spec.experts.routed
    layers = max((i for t in inside for i in t.layers or ()), default=0) + 1
    facts = Facts(
        base=mix.base, experts=experts, gqa=_gqa(spec), layers=layers, imatrix=mix.imatrix,
        falcon=spec.architecture == "falcon", values=0,
    )  # fmt: skip
    values = sorted({i for t in matrices if use_of(t) in (Use.VALUE, Use.QKV) for i in t.layers or ()})
    downs = sorted({i for t in matrices if use_of(t) is Use.DOWN for i in t.layers or ()})
    facts = facts._replace(values=len(values))
    value_at, down_at = {i: n for n, i in enumerate(values)}, {i: n for n, i in enumerate(downs)}

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        if (not tensor.loaded and not keeps_draft) or tensor.role in _SEPARATE_FILE:
            return ()
        matrix = tensor.kind in (Kind.LINEAR, Kind.EMBEDDING) and tensor.out_features > 1
        if not matrix or tensor.role in _NOT_QUANTISED:
            return ((tensor, None),)
        latent = _split_latent(tensor, spec)
        if latent:
            return tuple(part for half in latent for part in rule(half))
        if native and tensor.role is Role.ROUTED_EXPERT and mix.base in ("bf16", "f16"):
            return ((tensor, Ggml("mxfp4")),)
        use = use_of(tensor)
        if mix.large and use in (Use.EMBEDDING, Use.HEAD):
            return ((tensor, Ggml("q8_0")),)
        if use is Use.EMBEDDING and tied:
            use = Use.HEAD

        def of_layer(layer: int) -> WeightFormat:
            # llama.cpp counts value projections as they come; of the MLPs it takes the layer's number where there are
            # experts.
            order = value_at if use in (Use.VALUE, Use.QKV) else down_at if experts <= 1 else {}
            columns = tensor.in_features
            wanted = tensor_type(use, order.get(layer, layer), columns, facts, expert=tensor.experts > 0)
            return Ggml(fitting(wanted, columns))

        if tensor.layers is None:
            return ((tensor, of_layer(0)),)
        return split_layers(tensor, {layer: of_layer(layer) for layer in tensor.layers})

    return rule


def use_of(tensor: Tensor) -> Use:
    """Which of llama.cpp's categories a tensor falls in, by role, split and the last part of its name."""
    if tensor.role is Role.EMBEDDING:
        return Use.EMBEDDING if tensor.loaded and tensor.layers is None else Use.OTHER
    if tensor.role is Role.LM_HEAD:
        return Use.HEAD if tensor.loaded and tensor.layers is None else Use.OTHER
    last = tensor.name.removesuffix(".weight").rsplit(".", 1)[-1].lower()
    if tensor.role in (Role.MLP, Role.ROUTED_EXPERT, Role.SHARED_EXPERT):
        return Use.DOWN if tensor.split is Split.ROW else Use.UP
    if tensor.role is Role.LINEAR_ATTENTION:
        return Use.QKV if "qkv" in last else Use.OTHER
    if tensor.role is not Role.ATTENTION:
        return Use.OTHER
    if tensor.split is Split.ROW:
        return Use.ATTENTION_OUT
    if "qkv" in last or last in ("c_attn", "query_key_value", "w_pack"):
        return Use.QKV
    return {"q": Use.QUERY, "k": Use.KEY, "v": Use.VALUE}.get(_letter(last), Use.OTHER)


def _split_latent(tensor: Tensor, spec: ModelSpec) -> tuple[Tensor, ...]:
    """MLA's `kv_b_proj` as the converter splits it: keys transposed, `[heads × rank, nope]`, and values."""
    if not tensor.name.endswith("kv_b_proj.weight"):
        return ()
    rope = next((c.rope_dim for c in spec.caches if c.kind is CacheKind.LATENT), 0)
    product = spec.attentions[0]
    heads, rank, nope = product.num_heads, tensor.in_features, product.qk_head_dim - rope
    base = tensor.name.removesuffix("kv_b_proj.weight")
    return (
        replace(tensor, name=f"{base}k_b.weight", shape=(heads * rank, nope)),
        replace(tensor, name=f"{base}v_b.weight", shape=(tensor.out_features - heads * nope, rank)),
    )


def _letter(last: str) -> str:
    """`q`, `k` or `v` of `q_proj`, `wq`, `key`, `v`; nothing of MLA's `q_a_proj`, `kv_b_proj`."""
    for letter, names in (("q", ("q_proj", "wq", "q", "query")), ("k", ("k_proj", "wk", "k", "key")),
                          ("v", ("v_proj", "wv", "v", "value"))):  # fmt: skip
        if last in names:
            return letter
    return ""


def _gqa(spec: ModelSpec) -> int:
    heads = next((a.num_heads for a in spec.attentions), 1)
    kinds = (CacheKind.FULL, CacheKind.SLIDING, CacheKind.CHUNKED)
    kv_heads = next((c.num_kv_heads for c in spec.caches if c.kind in kinds), heads)
    return heads // max(1, kv_heads)
