"""Bytes a decoding step reads."""

from moesize.hardware.gpu import load_gpu
from moesize.model.loader import load_model
from moesize.question import evaluate
from moesize.sizing import ask
from moesize.speed import speed_of


def test_a_shared_embedding_is_multiplied_as_it_is_stored() -> None:
    """Gemma's head is its embedding table, which a q4_k_m file keeps in Q6_K, not in 16 bits."""
    gemma = load_model("gemma-3-12b", offline=True)
    question = ask(gemma, load_gpu("RTX 4090"), engine="llama.cpp", quant="q4_k_m", context=256)
    plan = evaluate(question).plan
    weights = sum(term.n_bytes for term in plan.terms if term.category == "weights")
    assert weights <= speed_of(question, plan).read_bytes < weights * 1.02
