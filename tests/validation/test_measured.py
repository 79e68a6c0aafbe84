from pathlib import Path

import pytest

from moesize.engines.vllm import calibrated
from validation import calibrate, measured, report, scores
from validation.rows import VLLM_FILES, load_rows


@pytest.fixture(scope="module")
def everything():
    return scores.score()


def test_thresholds_hold(everything):
    assert scores.misses(everything) == []


def test_the_page_is_what_the_scores_say(everything):
    page = Path(report.__file__).parent.parent / "docs" / "accuracy.md"
    assert page.read_text(encoding="utf-8") == report.markdown(everything)


def test_calibrated_figures_are_those_the_script_fits():
    written = Path(calibrated.__file__).with_name("calibrated.json").read_text(encoding="utf-8")
    assert written == calibrate.document()


def test_no_recorded_failure_is_called_a_fit(everything):
    bad = [v.row.id for v in everything.verdicts if v.predicted == "fits" and v.observed in measured.BAD]
    assert bad == []


def test_rows_carry_a_public_address_and_a_reason_when_they_are_not_scored():
    rows = load_rows(*VLLM_FILES)
    assert len(rows) > 150
    assert all(row.source.startswith("https://") for row in rows)
    assert all(isinstance(row.weak, str) for row in rows)
    assert sum(not row.weak for row in rows) > 120


def test_rows_with_a_cause_of_their_own_shape_no_figure_and_are_scored(everything):
    aside = {row.id for row in load_rows(*VLLM_FILES) if "not_fitted" in row.asked}
    assert aside
    scored = {e.row.id for e in everything.errors if e.term == "KV pool, other rows"}
    assert aside <= scored
    found = [s for s in calibrate.samples(load_rows(*VLLM_FILES)) if s.row.id not in aside]
    assert calibrate.fit(found) == calibrate.fit(calibrate.samples(load_rows(*VLLM_FILES)))
