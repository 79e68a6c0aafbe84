"""What speculative decoding adds to a vLLM server: a drafting model, its caches, and what verifying drafts takes.

Source: vllm `config/speculative.py`, `v1/spec_decode/llm_base_proposer.py` (what a draft shares with its target),
`v1/sample/rejection_sampler.py` and `v1/worker/gpu/spec_decode/`.
"""

from dataclasses import replace
from typing import NamedTuple

from moesize.engines.base import Request, Term, exact
from moesize.engines.vllm.activations import Step
from moesize.engines.vllm.constants import Rules
from moesize.engines.vllm.weights import rank_weights
from moesize.errors import InputError
from moesize.memory.layout import Layout, LayoutError, Stage
from moesize.memory.sharding import ShardingRules, rank_tensors
from moesize.model.drafts import stored_draft, without_shared
from moesize.model.spec import ModelSpec, Role, Tensor
from moesize.units import DTYPE_BYTES

#: Methods whose draft reads the model's hidden states.
_EAGLE = ("eagle", "eagle3")
#: Hidden states of the model an EAGLE-3 draft reads, and again side by side.
_AUXILIARY_ROWS = {"eagle3": 6}


class Drafter(NamedTuple):
    """The model that proposes, as it stands on the last stage: its request in place of the target's."""

    request: Request
    tensors: tuple[Tensor, ...]

    @property
    def stage(self) -> Stage:
        """All its layers stand together."""
        return Stage(range(self.request.spec.num_layers), first=True, last=True)


def drafter_of(request: Request, rules: Rules) -> Drafter | None:
    """The drafting model of a request; None without speculation, or with a method that has no weights.

    Raises:
        InputError: a method this version does not have, or a model that carries no prediction layers.
        LayoutError: a tensor parallel size of the draft that is refused.
    """
    found = request.options.speculation
    if found is None:
        return None
    _check_method(found.method, rules)
    if found.method == "mtp":
        draft, scheme = stored_draft(request.spec), request.scheme
        if found.draft is not None:
            draft, scheme = found.draft, found.draft_scheme or request.scheme
    elif found.draft is None:
        return None
    else:
        draft, scheme = found.draft, found.draft_scheme or request.scheme
    tp = request.layout.tp if found.draft_tp is None else found.draft_tp
    if tp not in (1, request.layout.tp):
        raise LayoutError(
            f"speculative_draft_tensor_parallel_size={tp} cannot be other value than 1 or target model"
            f" tensor_parallel_size ({request.layout.tp})"
        )
    if found.method == "draft_model":
        _check_draft_model(request, draft, tp)
    else:
        draft = _sharing(draft, request, rules, found.method)
    draft = draft if draft.dtype == scheme.dtype else replace(draft, dtype=scheme.dtype)
    layout = Layout(tp, 1, request.layout.dp, request.layout.ep and bool(draft.experts.routed), request.layout.dcp)
    return Drafter(request._replace(spec=draft, scheme=scheme, layout=layout), draft.tensors)


def _check_method(method: str, rules: Rules) -> None:
    entry = rules.entry("speculative_methods")
    if method not in entry["methods"]:
        known = ", ".join(entry["methods"])
        raise InputError(f"vLLM {rules.version} does not speculate with {method}; it knows {known}")


def _check_draft_model(request: Request, draft: ModelSpec, tp: int) -> None:
    """What vllm `v1/spec_decode/draft_model.py` asks of a model that drafts on its own."""
    if tp != request.layout.tp:
        raise LayoutError(
            f"Currently, 'draft_tensor_parallel_size' and 'tensor_parallel_size' must be the same. Got {tp} and"
            f" {request.layout.tp}."
        )
    if draft.vocab_size and request.spec.vocab_size and draft.vocab_size != request.spec.vocab_size:
        raise InputError(
            f"{draft.name} has a vocabulary of {draft.vocab_size:,} and {request.spec.name} of"
            f" {request.spec.vocab_size:,}: target and draft model should have the same vocabulary size"
        )


def _sharing(draft: ModelSpec, request: Request, rules: Rules, method: str) -> ModelSpec:
    """A draft that reads hidden states, without what it takes from the model.

    On one stage the embedding is shared: prediction layers' always, EAGLE's where both tables have the same shape
    (trained drafts keep the model's own). A head is shared where the draft stores none, and prediction layers' always
    since their per-layer heads are replaced.
    """
    if method == "mtp":
        if request.layout.pp == 1 and rules.entry("prediction_heads")["shared"]:
            return without_shared(draft)
        kept = [] if request.layout.pp == 1 else [t for t in draft.tensors if t.role is Role.EMBEDDING]
        heads = [t for t in draft.tensors if t.role is Role.LM_HEAD and not rules.entry("prediction_heads")["shared"]]
        return replace(draft, tensors=(*without_shared(draft).tensors, *kept, *heads))
    if request.layout.pp > 1:
        return draft
    tables = {t.shape for t in request.spec.tensors if t.role is Role.EMBEDDING}
    return replace(
        draft, tensors=tuple(t for t in draft.tensors if t.role is not Role.EMBEDDING or t.shape not in tables)
    )


def draft_weight_term(drafter: Drafter, sharding: ShardingRules, rules: Rules, batched_tokens: int) -> Term:
    """The drafting model's weights on a rank of the last stage, as its kernels keep them; they load with the model's.

    Raises:
        LayoutError: a shape its kernels do not take.
    """
    request = drafter.request
    held = rank_tensors(request.spec, request.layout, drafter.stage, sharding)
    by_role, extras = rank_weights(request, held, drafter.stage, rules, batched_tokens)
    shared = {"rotary tables"}  # one table for equal ropes
    n_bytes = sum(by_role.values()) + sum(n for what, n, _ in extras if what not in shared)
    formula = (
        f"{request.spec.name} beside the model, {request.scheme.name}; embedding and head shared where they can be"
    )
    return exact("draft weights", "weights", n_bytes, "counted", formula, request.spec.source)


def proposal_terms(request: Request, drafter: Drafter | None, rules: Rules, step: Step) -> list[Term]:
    """What the proposer keeps between steps: rows its draft reads, or the tokens n-grams are looked up in."""
    found = request.options.speculation
    if found is None:
        return []
    entry = rules.entry("proposer_buffers")
    if drafter is None:
        if found.method not in entry["token_history"]:
            return []
        n_bytes = step.seqs * step.max_model_len * 4
        formula = f"{step.seqs} sequences × {step.max_model_len} token ids of 4 B, searched on the GPU"
        return [exact("token history", "activation", n_bytes, "engine rule", formula, entry["source"])]
    width, hidden = DTYPE_BYTES[drafter.request.spec.dtype], drafter.request.spec.hidden_size or 0
    n_bytes = entry["rows"] * step.batched_tokens * hidden * width
    formula = f"{entry['rows']} × {step.batched_tokens} tokens × {hidden} × {width} B"
    return [exact("draft buffers", "activation", n_bytes, "engine rule", formula, entry["source"])]


def auxiliary_rows_bytes(request: Request, step: Step) -> int:
    """Hidden states of inner layers that a forward pass hands to an EAGLE-3 draft, one by one and side by side."""
    found, spec = request.options.speculation, request.spec
    rows = _AUXILIARY_ROWS.get(found.method, 0) if found else 0
    return rows * step.batched_tokens * (spec.hidden_size or 0) * DTYPE_BYTES[spec.dtype]
