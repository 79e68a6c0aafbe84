"""How many experts a batch touches: why an MoE's advantage shrinks as the batch grows."""

from collections.abc import Sequence
from math import exp


def expected_distinct_experts(experts: int, per_token: int, tokens: float) -> float:
    """Distinct experts `tokens` tokens select in one layer under balanced routing: E · (1 − (1 − k/E)^B)."""
    if not experts:
        return 0.0
    return float(experts * (1.0 - (1.0 - per_token / experts) ** tokens))


def zipf_popularity(experts: int, exponent: float = 1.0) -> tuple[float, ...]:
    """The share of each expert when the i-th most popular is chosen in proportion to 1 / i^exponent."""
    weights = [1.0 / (i + 1) ** exponent for i in range(experts)]
    total = sum(weights)
    return tuple(w / total for w in weights)


def expected_distinct_experts_skewed(popularity: Sequence[float], per_token: int, tokens: float) -> float:
    """Distinct experts under unequal popularity: Σ (1 − (1 − q_i)^B).

    q_i is the chance that a token's `per_token` different choices include expert i, drawn in proportion to
    `popularity` without replacement: 1 − exp(−λ p_i), λ set so that the q_i sum to `per_token`. These are the
    marginals of an exponential race stopped at a fixed time instead of after k arrivals.
    """
    if per_token >= len(popularity):
        return float(len(popularity))
    rate = _rate_for(popularity, per_token)
    return sum(1.0 - exp(-rate * p * tokens) for p in popularity)


def _rate_for(popularity: Sequence[float], per_token: int) -> float:
    low, high = 0.0, 1.0
    while sum(1.0 - exp(-high * p) for p in popularity) < per_token:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2
        if sum(1.0 - exp(-middle * p) for p in popularity) < per_token:
            low = middle
        else:
            high = middle
    return high
