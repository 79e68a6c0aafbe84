"""The smallest cards that would do: what `check` answers without a GPU."""

import pytest

from moesize import MoesizeError, check, load_gpu, smallest_gpus
from moesize.hardware.gpu import served_gpus
from moesize.smallest import SmallestGpus


def names(found: SmallestGpus) -> list[str]:
    return [row.gpu for row in found.rows]


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("mixtral-8x7b", {"quant": "gptq-4bit"}),
        ("llama-3.1-8b", {"context": 32768, "concurrency": 4, "kv_dtype": "fp8"}),
        ("mixtral-8x7b", {"quant": "q4_k_m", "engine": "llama.cpp"}),
        ("llama-2-70b", {"gpus": 2, "quant": "awq-4bit"}),
    ],
)
def test_every_card_listed_would_do_and_no_smaller_one_would(model: str, asked: dict[str, object]) -> None:
    """Against `check`, card by card."""
    found = smallest_gpus(model, **asked)  # type: ignore[arg-type]
    listed = names(found)
    sizes = [row.memory_bytes for row in found.rows]
    assert sizes == sorted(sizes)
    assert found.one_gpu == ("gpus" not in asked)
    for card in served_gpus():
        report = check(model, card, **asked)  # type: ignore[arg-type]
        does = report.verdict == "fits" or (report.verdict == "tight" and report.per_gpu.headroom_bytes >= 0)
        if card.name in listed:
            row = found.rows[listed.index(card.name)]
            assert does
            assert (row.verdict, row.headroom_bytes) == (report.verdict, report.per_gpu.headroom_bytes)
        elif does:  # passed over only where the formats cannot run
            assert card.compute_capability is None or any("not run" in note for note in report.notes), card.name


def test_what_no_card_holds_is_put_on_the_fewest_common_ones() -> None:
    found = smallest_gpus("deepseek-v3")
    assert not found.one_gpu
    counts = [row.gpus for row in found.rows]
    assert counts == sorted(counts)
    assert counts[0] > 1
    for row in found.rows:
        assert check("deepseek-v3", row.gpu, gpus=row.gpus, tp=row.tp, pp=row.pp).verdict == "fits"
    assert found.nearest_miss is not None
    assert "weights alone take" in found.nearest_miss.reason


def test_a_layout_that_was_asked_for_is_kept() -> None:
    alone = smallest_gpus("deepseek-v3", gpus=1)
    assert alone.rows == []
    assert alone.nearest_miss is not None
    split = smallest_gpus("llama-3.1-8b", tp=2, pp=2)
    assert {(row.tp, row.pp, row.gpus) for row in split.rows} == {(2, 2, 4)}


def test_strict_leaves_out_what_is_tight() -> None:
    loose, strict = (smallest_gpus("llama-3.1-8b", strict=how) for how in (False, True))
    assert {row.verdict for row in strict.rows} == {"fits"}
    assert names(strict) == [row.gpu for row in loose.rows if row.verdict == "fits"] != names(loose)


def test_cards_without_kernels_for_the_format_are_passed_over() -> None:
    fp8 = names(smallest_gpus("mixtral-8x7b", quant="fp8"))
    assert load_gpu("MI300X").name in fp8
    assert load_gpu("MI210").name not in fp8
    bf16 = names(smallest_gpus("llama-3.1-8b", quant="bf16"))
    assert load_gpu("T4").name not in bf16
    with pytest.raises(MoesizeError, match="none of 1 cards runs bf16"):
        smallest_gpus("llama-3.1-8b", quant="bf16", cards=[load_gpu("T4")])


def test_cards_of_ones_own_are_tried_alone_and_together() -> None:
    cards = [load_gpu("L40S"), load_gpu("A10G")]
    assert names(smallest_gpus("llama-3.1-8b", cards=cards)) == ["A10G", "L40S"]
    found = smallest_gpus("mixtral-8x7b", quant="fp16", cards=cards)
    assert [(row.gpus, row.gpu) for row in found.rows] == [(4, "L40S"), (8, "A10G")]


def test_the_question_is_refused_where_no_card_could_answer_it() -> None:
    with pytest.raises(MoesizeError, match="divisible"):
        smallest_gpus("mixtral-8x7b", tp=3)
    with pytest.raises(MoesizeError, match="no card is given"):
        smallest_gpus("mixtral-8x7b", cards=[])
    with pytest.raises(MoesizeError, match="negative"):
        smallest_gpus("mixtral-8x7b", cpu_offload_gib=-1)


def test_progress_is_told_of_every_card() -> None:
    told: list[tuple[int, int, str]] = []
    cards = [load_gpu("L40S"), load_gpu("A10G")]
    smallest_gpus("llama-3.1-8b", cards=cards, progress=lambda *one: told.append(one))
    assert told == [(0, 2, "A10G"), (1, 2, "L40S")]
