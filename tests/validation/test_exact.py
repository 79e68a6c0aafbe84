"""vLLM 0.33's own classes are the evidence: what they hold after loading and how they plan their caches."""

from validation import exact


def test_every_cache_plan_is_reproduced():
    wrong = [one for one in exact.kv_plans() if not one.equal]
    assert wrong == []


def test_weights_of_a_rank_are_those_the_engine_holds():
    references = list(exact.loaded_weights())
    assert [one for one in references if not one.equal and not one.explained] == []
    assert sum(one.equal for one in references) >= 231
    assert all(abs(one.got / one.expected - 1) < 0.02 for one in references)


def test_profile_peaks_are_those_of_the_runner_but_for_the_calibrated_remainder():
    for one in exact.profile_peaks():
        if one.what.endswith("runner"):
            assert abs(one.got / one.expected - 1) < 0.01, one
        elif "16384" not in one.what:
            assert -0.01 * one.expected < one.got - one.expected < 0.15e9, one
