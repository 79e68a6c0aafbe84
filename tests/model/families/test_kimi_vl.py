"""Kimi-VL: Moonlight's decoder and a tower, neither of which transformers has a class for under these names."""

from moesize.model.loader import load_model
from moesize.model.spec import Role


def test_the_tower_is_what_the_hub_counts_more_than_for_the_language_model_alone() -> None:
    # safetensors totals of moonshotai/Kimi-VL-A3B-Instruct and moonshotai/Moonlight-16B-A3B, both with 27 × 64 rotary
    # frequencies in them
    assert load_model("kimi-vl-a3b").params.by_role[Role.VISION.value] == 16_407_657_776 - 15_960_111_936


def test_the_decoder_is_moonlights_with_a_longer_context() -> None:
    joined, alone = load_model("kimi-vl-a3b"), load_model("moonlight-16b-a3b")
    text = [t for t in joined.tensors if t.role is not Role.VISION]
    assert {(t.name, t.shape) for t in text} == {(f"language_model.{t.name}", t.shape) for t in alone.tensors}
    assert joined.caches == alone.caches
    assert joined.context_length == 131072
