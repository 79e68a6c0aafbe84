"""The peak of vLLM's profile run: one forward pass of max_num_batched_tokens tokens, then the sampler.

Source: vllm `v1/worker/gpu/model_runner.py` (profile_run) and `layers/fused_moe/modular_kernel.py` (workspaces); the
shapes reproduce the peaks its own runner shows on fake tensors (`validation/`), and the remainder is calibrated.
"""

from collections.abc import Iterable
from typing import NamedTuple

from moesize.engines.base import Request, Term
from moesize.engines.vllm.calibrated import Beyond
from moesize.engines.vllm.constants import Rules
from moesize.engines.vllm.sampler import sampler_bytes, sampler_state
from moesize.memory.layout import Layout, Stage
from moesize.memory.sharding import RankTensor
from moesize.model.spec import CacheKind, Kind, ModelSpec, Role, Split
from moesize.units import DTYPE_BYTES, GIB

_DENSE_MLP = (Role.MLP, Role.SHARED_EXPERT)
_MIXERS = (Role.ATTENTION, Role.LINEAR_ATTENTION, Role.STATE_SPACE)


class Step(NamedTuple):
    """What one scheduler step may hold."""

    batched_tokens: int
    seqs: int
    max_model_len: int


def activation_terms(
    request: Request,
    tensors: Iterable[RankTensor],
    stage: Stage,
    step: Step,
    rules: Rules,
    rest: Beyond,
    *,
    encoder: tuple[int, int, int, int] = (0, 0, 0, 0),
    auxiliary_bytes: int = 0,
) -> list[Term]:
    """Peak of the profile run on one rank, and what the runner keeps; empty when the layout of the model is unknown.

    `encoder` is the peak of encoding images (low, nominal, high) and the embeddings it leaves; `auxiliary_bytes` are
    rows a forward pass hands on beside its output.
    """
    spec = request.spec
    if not spec.hidden_size:
        return []
    held = list(tensors)
    width = DTYPE_BYTES[spec.dtype]
    # fused MXFP4 kernels need no workspaces of their own
    workspace = 0 if request.scheme.method == "mxfp4" else moe_workspace_bytes(spec, held, request.layout, step)
    sampler = sampler_bytes(request, step.seqs, rules) if stage.last else (0, 0, 0)
    rows = (step.batched_tokens + step.seqs) * spec.hidden_size * width
    extra_rows = rules.entry("extra_hidden_rows")["value"] * step.batched_tokens * spec.hidden_size * width
    forward = forward_bytes(spec, held, step, width) + extra_rows + auxiliary_bytes
    with_workspace = workspace if rules.workspaces_stay else 0
    heads = (s + rows + with_workspace if stage.last else 0 for s in sampler)
    *encoding, kept = encoder
    low, peak, high = (
        max(max(head, forward + workspace) + kept, image) for head, image in zip(heads, encoding, strict=True)
    )
    extra = rest.activation
    images = f", image encoder {encoding[1] / GIB:.2f}" if encoding[1] else ""
    formula = (
        f"max(sampler {sampler[1] / GIB:.2f} + hidden rows {rows / GIB:.2f}, forward pass {forward / GIB:.2f}),"
        f" MoE workspaces {workspace / GIB:.2f}{images}, remainder {extra.n_bytes / GIB:.2f} GiB;"
        f" {step.batched_tokens} tokens and {step.seqs} sequences a step"
    )
    low, peak, high = low + extra.low_bytes, peak + extra.n_bytes, high + extra.high_bytes
    terms = [Term("activations", "activation", peak, low, high, "calibrated", formula, rest.source)]
    state = sampler_state(request, step.seqs, rules) if stage.last else None
    return [*terms, state] if state else terms


def forward_bytes(spec: ModelSpec, tensors: list[RankTensor], step: Step, width: int) -> int:
    """Hidden and residual rows beside the widest part of a layer: its MLP, or its mixer with MLA's prefill."""
    row = step.batched_tokens * width
    mixer = row * _mixer_width(tensors) + mla_prefill_bytes(spec, tensors, step, width)
    return row * 2 * (spec.hidden_size or 0) + max(row * _mlp_width(tensors), mixer)


def _mlp_width(tensors: list[RankTensor]) -> int:
    """Columns alive in a dense MLP: what goes in (gate and up) and the activation that comes out."""
    into: dict[str, int] = {}
    for t in tensors:
        if t.part.role in _DENSE_MLP and t.part.kind is Kind.LINEAR and t.part.split is Split.COLUMN:
            key = t.part.name.rsplit(".", 2)[0]
            into[key] = into.get(key, 0) + t.part.out_features
    out = max(
        (t.part.in_features for t in tensors if t.part.role in _DENSE_MLP and t.part.split is Split.ROW), default=0
    )
    return max(into.values(), default=0) + out


def _mixer_width(tensors: list[RankTensor]) -> int:
    """Columns alive in an attention or recurrent layer: its projections, and its output before the last one."""
    into: dict[str, int] = {}
    for t in tensors:
        if t.part.role in _MIXERS and t.part.kind is Kind.LINEAR and t.part.split is not Split.ROW:
            key = t.part.name.rsplit(".", 2)[0]
            into[key] = into.get(key, 0) + t.part.out_features
    out = max((t.part.in_features for t in tensors if t.part.role in _MIXERS and t.part.split is Split.ROW), default=0)
    return max(into.values(), default=0) + out


def mla_prefill_bytes(spec: ModelSpec, tensors: list[RankTensor], step: Step, width: int) -> int:
    """The worst up-projection of MLA's chunked prefill, which the profile run allocates on purpose.

    Source: vllm `v1/attention/backends/mla/common.py`: rows are min(max(8 · max_model_len, 4 · max_num_seqs · block),
    65536).
    """
    if not any(cache.kind is CacheKind.LATENT for cache in spec.caches):
        return 0
    up = max((t.part.out_features for t in tensors if "kv_b_proj" in t.part.name), default=0)
    rows = min(max(8 * step.max_model_len, 4 * step.seqs * 16), 65536)
    return rows * up * width


def moe_workspace_bytes(spec: ModelSpec, tensors: list[RankTensor], layout: Layout, step: Step) -> int:
    """The two workspaces of the modular MoE kernels; they grow in the profile run and stay.

    T · top_k · (max(I, H) + max(2I, H)) elements, I the intermediate size a rank holds (whole with EP), T the tokens of
    all data-parallel ranks.
    """
    down = [t for t in tensors if t.part.role is Role.ROUTED_EXPERT and t.part.split is Split.ROW]
    if not down:
        return 0
    widest = max(down, key=lambda t: t.whole.active_experts * t.part.in_features)
    inner, outer = widest.part.in_features, widest.part.out_features
    tokens = step.batched_tokens * layout.dp
    first = max(tokens * widest.whole.active_experts * max(inner, outer), tokens * outer)
    second = tokens * widest.whole.active_experts * max(2 * inner, outer)
    return (first + second) * DTYPE_BYTES[spec.dtype]
