"""Experts a batch touches, against simulated routing."""

import random

import pytest

from moesize.compute.experts import (
    expected_distinct_experts,
    expected_distinct_experts_skewed,
    zipf_popularity,
)


def simulated(experts: int, per_token: int, tokens: int, weights: list[float] | None, rounds: int = 1500) -> float:
    """Mean number of distinct experts over `rounds` batches; choices without replacement, by weight."""
    rng = random.Random(7)
    total = 0
    for _ in range(rounds):
        touched: set[int] = set()
        for _ in range(tokens):
            if weights is None:
                touched.update(rng.sample(range(experts), per_token))
            else:  # Efraimidis–Spirakis: the k largest of u^(1/w) are a weighted draw without replacement
                keys = [(rng.random() ** (1 / w), i) for i, w in enumerate(weights)]
                touched.update(i for _, i in sorted(keys)[-per_token:])
        total += len(touched)
    return total / rounds


@pytest.mark.parametrize(
    ("experts", "per_token", "tokens"), [(8, 2, 1), (8, 2, 4), (8, 2, 16), (64, 6, 8), (128, 8, 16)]
)
def test_balanced_routing_equals_simulation(experts: int, per_token: int, tokens: int) -> None:
    expected = simulated(experts, per_token, tokens, None)
    assert expected_distinct_experts(experts, per_token, tokens) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("experts", "per_token", "tokens"), [(16, 4, 4), (64, 8, 4), (64, 8, 16)])
def test_skewed_routing_is_close_to_simulation(experts: int, per_token: int, tokens: int) -> None:
    popularity = zipf_popularity(experts)
    expected = simulated(experts, per_token, tokens, list(popularity), rounds=400)
    assert expected_distinct_experts_skewed(popularity, per_token, tokens) == pytest.approx(expected, rel=0.03)


def test_one_token_touches_its_own_and_many_touch_all() -> None:
    assert expected_distinct_experts(256, 8, 1) == 8
    assert expected_distinct_experts(8, 2, 10_000) == pytest.approx(8)
    assert expected_distinct_experts(0, 0, 5) == 0
    assert expected_distinct_experts_skewed(zipf_popularity(8), 8, 1) == 8
