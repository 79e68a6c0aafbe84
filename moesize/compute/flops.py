"""FLOPs per token: two per multiplied weight, plus the score and value products of attention.

Checked against torch's FlopCounterMode on the real transformers classes (`tests/compute/test_flops.py`).
"""

from math import prod

from moesize.model.spec import CacheKind, Kind, ModelSpec, Role, Tensor

#: Towers work once per image or clip, not per token of text.
_NOT_PER_TOKEN = (Role.VISION, Role.AUDIO)


def is_encoder(tensor: Tensor) -> bool:
    """Whether a tensor works on the encoder's input, once per sequence, and not on every token decoded."""
    return tensor.name.startswith(("encoder.", "model.encoder."))


def matmul_flops(tensor: Tensor) -> int:
    """FLOPs of one token through one tensor over all its layers: 2 × elements of the experts the token uses."""
    if tensor.kind not in (Kind.LINEAR, Kind.CONV) or not tensor.loaded or tensor.role in _NOT_PER_TOKEN:
        return 0
    used = tensor.active_experts if tensor.experts else 1
    return 2 * prod(tensor.shape) * tensor.repeats * used


def attention_flops(spec: ModelSpec, context: float) -> float:
    """Score and value products of one token over `context` tokens: 2 · heads · (qk + v) · tokens seen, per layer."""
    return sum(
        2
        * len(a.layers)
        * a.num_heads
        * (a.qk_head_dim + a.v_head_dim)
        * _seen(context / a.tokens_per_entry, a.window_tokens)
        for a in spec.attentions
    )


def state_flops(spec: ModelSpec) -> int:
    """Recurrent layers: an outer product into each state and a read from it, 4 FLOPs an element."""
    return sum(
        4 * len(cache.layers) * prod(state.shape)
        for cache in spec.caches
        if cache.kind is CacheKind.STATE
        for state in cache.states
        if state.name == "recurrent"
    )


def flops_by_role(spec: ModelSpec, context: int) -> dict[str, float]:
    """FLOPs of decoding one token at `context` tokens, by role; attention products count as `attention_products`."""
    by_role: dict[str, float] = {}
    for tensor in spec.tensors:
        flops = 0 if is_encoder(tensor) else matmul_flops(tensor)
        if flops:
            by_role[tensor.role.value] = by_role.get(tensor.role.value, 0) + flops
    products = attention_flops(spec, context) + state_flops(spec)
    return {**by_role, "attention_products": products} if products else by_role


def decode_flops(spec: ModelSpec, context: int) -> int:
    """FLOPs of decoding one token at `context` tokens."""
    return round(sum(flops_by_role(spec, context).values()))


def prefill_flops(spec: ModelSpec, context: int) -> int:
    """Mean FLOPs per token of a prompt: each sees the tokens before it, the head runs once at the end."""
    matmuls = sum(matmul_flops(t) for t in spec.tensors if t.role is not Role.LM_HEAD)
    head = sum(matmul_flops(t) for t in spec.tensors if t.role is Role.LM_HEAD)
    products = sum(
        2
        * len(a.layers)
        * a.num_heads
        * (a.qk_head_dim + a.v_head_dim)
        * _mean_seen(context // a.tokens_per_entry, a.window_tokens)
        for a in spec.attentions
    )
    return round(matmuls + head / context + products + state_flops(spec))


def _seen(context: float, window: int | None) -> float:
    return min(context, window) if window else context


def _mean_seen(context: int, window: int | None) -> float:
    """The mean of min(i, window) over i = 1…context."""
    if not window or context <= window:
        return (context + 1) / 2
    return (window * (window + 1) / 2 + (context - window) * window) / context
