"""Sizes and element counts that repositories publish."""

from math import prod
from pathlib import Path

import pytest

from moesize.data import read_yaml
from moesize.model.loader import load_model
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.scheme import arrays_of
from validation.checkpoints import excluded, percentile, scores, summary

ELEMENTS = read_yaml(Path(__file__).parents[2] / "validation" / "data" / "stored_elements.yaml")["repositories"]


@pytest.fixture(scope="module")
def rows():
    return scores()


def test_published_sizes_are_met(rows):
    assert len(rows) >= 120
    for name, _, middle, _, _ in summary(rows):
        assert middle <= (0.0005 if name == "all" else 0.001), name
    errors = [row.error for row in rows]
    assert percentile(errors, 0.95) <= 0.005
    assert max(errors, key=abs) == pytest.approx(0, abs=0.015)


def test_exact_byte_counts_differ_by_file_headers_only(rows):
    exact = [row for row in rows if row.rounding_bytes == 0]
    assert len(exact) >= 15
    for row in exact:
        # A header names every array: some 130 bytes for each of a few hundred to a hundred thousand.
        assert 0 <= row.published_bytes - row.predicted_bytes <= 1e-4 * row.published_bytes, row.repo


def test_every_excluded_size_says_why():
    assert all(reason and source.startswith("https://") for _, source, reason, _ in excluded())


@pytest.mark.parametrize("entry", ELEMENTS, ids=lambda e: e["repo"])
def test_stored_elements_are_the_hubs(entry):
    spec = load_model(entry["model"], offline=True)
    scheme = stored_scheme(spec)
    elements = 0
    for tensor in spec.tensors:
        for part, fmt in scheme.parts(tensor) if not tensor.tied_to else ():
            arrays = arrays_of(part, scheme.format_of(part, fmt))
            counted = arrays if entry["counts"] == "all" else arrays[:1]
            elements += part.copies * sum(prod(array.shape) for array in counted if array.shape)
    assert elements == entry["elements"]
