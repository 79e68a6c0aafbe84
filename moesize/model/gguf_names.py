"""What the tensors of a GGUF file are for, by llama.cpp's names.

Names: `TENSOR_NAMES` of https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py.
"""

import re
from typing import Final, NamedTuple

from moesize.model.spec import Kind, Role, Split


class Meaning(NamedTuple):
    """What a tensor is, as far as its name says."""

    role: Role
    kind: Kind
    split: Split = Split.REPLICATED
    stacked_experts: bool = False


_LAYER: Final = re.compile(r"^blk\.(\d+)\.")
_OLD_EXPERT: Final = re.compile(r"^(blk\.\d+\.ffn_(?:gate|up|down))\.(\d+)\.")

#: First match decides; what stands outside the language model first. Names without `.weight` or `.bias`.
_MEANINGS: Final = tuple(
    (re.compile(pattern), Meaning(role, kind, split))
    for pattern, role, kind, split in (
        (r"^(v|mm|resampler|model\.image)\.|^blk\.vis_", Role.VISION, Kind.LINEAR, Split.REPLICATED),
        (r"^a\.", Role.AUDIO, Kind.LINEAR, Split.REPLICATED),
        (r"^(token_embd|per_layer_token_embd)$", Role.EMBEDDING, Kind.EMBEDDING, Split.VOCAB),
        (r"^(position_embd|token_types)$", Role.POSITION_EMBEDDING, Kind.EMBEDDING, Split.REPLICATED),
        (r"^(output|cls\.output)$", Role.LM_HEAD, Kind.LINEAR, Split.VOCAB),
        (r"norm", Role.NORM, Kind.VECTOR, Split.REPLICATED),
        (r"^rope_f|attn_rot_embd|attn_rel_b", Role.OTHER, Kind.VECTOR, Split.REPLICATED),
        (r"indexer\.", Role.INDEXER, Kind.LINEAR, Split.REPLICATED),
        (r"ffn_gate_inp_shexp", Role.SHARED_EXPERT, Kind.LINEAR, Split.REPLICATED),
        (r"ffn_gate_inp|exp_probs_b", Role.ROUTER, Kind.LINEAR, Split.REPLICATED),
        (r"ffn_(down)_shexp", Role.SHARED_EXPERT, Kind.LINEAR, Split.ROW),
        (r"ffn_\w+_shexp", Role.SHARED_EXPERT, Kind.LINEAR, Split.COLUMN),
        (r"ffn_down_(ch)?exps|ffn_down\.\{expert\}", Role.ROUTED_EXPERT, Kind.LINEAR, Split.ROW),
        (r"ffn_\w+_(ch)?exps|ffn_\w+\.\{expert\}", Role.ROUTED_EXPERT, Kind.LINEAR, Split.COLUMN),
        (r"ffn_latent_", Role.MLP, Kind.LINEAR, Split.REPLICATED),
        (r"ffn_down", Role.MLP, Kind.LINEAR, Split.ROW),
        (r"ffn", Role.MLP, Kind.LINEAR, Split.COLUMN),
        (r"attn_(output|o)$", Role.ATTENTION, Kind.LINEAR, Split.ROW),
        (r"attn_(q_a|kv_a_mqa)$", Role.ATTENTION, Kind.LINEAR, Split.REPLICATED),
        (r"attn_sinks$", Role.ATTENTION, Kind.VECTOR, Split.COLUMN),
        (r"attn_", Role.ATTENTION, Kind.LINEAR, Split.COLUMN),
        (r"ssm_conv1d|shortconv\.conv", Role.STATE_SPACE, Kind.CONV, Split.COLUMN),
        (r"ssm_(a|d|dt)$", Role.STATE_SPACE, Kind.PARAMETER, Split.COLUMN),
        (r"(ssm_out|shortconv\.out_proj|time_mix_output)$", Role.STATE_SPACE, Kind.LINEAR, Split.ROW),
        (r"ssm_|shortconv\.|time_mix_|channel_mix_", Role.STATE_SPACE, Kind.LINEAR, Split.COLUMN),
    )
)
_ELSE: Final = Meaning(Role.OTHER, Kind.LINEAR)


def layer_of(name: str) -> int | None:
    """The block a tensor stands in; None outside the blocks."""
    match = _LAYER.match(name)
    return int(match[1]) if match else None


def pattern_of(name: str) -> str:
    """`name` with `{layer}` and, where experts were stored one by one, `{expert}`."""
    return _LAYER.sub("blk.{layer}.", _OLD_EXPERT.sub(r"\1.{expert}.", name))


def is_buffer(pattern: str) -> bool:
    """Whether it is stored without being a parameter: rotary factors, router score corrections."""
    return pattern.startswith("rope_f") or "attn_rot_embd" in pattern or "exp_probs_b" in pattern


def meaning_of(pattern: str, dimensions: int) -> Meaning:
    """What the tensors under `pattern` are; one-dimensional ones are vectors, whatever they belong to."""
    module = pattern.removeprefix("blk.{layer}.").removesuffix(".weight").removesuffix(".bias")
    found = next((meaning for known, meaning in _MEANINGS if known.search(module)), _ELSE)
    stacked = module.endswith("exps") and found.role is Role.ROUTED_EXPERT
    vector = dimensions - stacked < 2
    if vector:
        # the bias of a row-split matrix is held whole by every rank
        along = found.split if found.split is Split.COLUMN else Split.REPLICATED
        return Meaning(found.role, Kind.VECTOR, along, stacked)
    kind = Kind.PARAMETER if found.kind is Kind.VECTOR else found.kind
    return found._replace(kind=kind, stacked_experts=stacked)
