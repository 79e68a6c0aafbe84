"""Bytes of caches against what transformers keeps: every row equal, or in the reviewed list of differences."""

import csv
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml

from moesize import load_model
from moesize.memory.kv_cache import bytes_per_token, sequence_bytes, state_bytes_per_sequence
from moesize.model.spec import CacheKind, ModelSpec
from moesize.quant.kv import kv_format

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
BF16 = kv_format("bfloat16", dtype="bfloat16")
LONG_TOKENS = 32768
INDEXER_KEY_BYTES_SAVED = 2 * 128 - (128 + 4)  # bfloat16 against fp8 with one float32 scale, of 128 elements


def reference_rows() -> list[dict[str, str]]:
    lines = (DATA / "reference_kv.csv").read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@cache
def differences() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((DATA / "kv_differences.yaml").read_text(encoding="utf-8"))


def window_of(spec: ModelSpec) -> int | None:
    windows = {c.window_tokens for c in spec.caches if c.window_tokens}
    assert len(windows) <= 1, f"{spec.name} has several windows: {windows}"
    return next(iter(windows), None)


def figures(spec: ModelSpec) -> dict[str, int | None]:
    growing = bytes_per_token(spec, BF16)
    return {
        "growing": growing,
        "windowed": bytes_per_token(spec, BF16, in_window=True) - growing,
        "state": state_bytes_per_sequence(spec),
        "window": window_of(spec),
    }


def kept_by_transformers(row: dict[str, str]) -> dict[str, int | None]:
    return {
        "growing": int(row["growing_bytes_per_token"]),
        "windowed": int(row["windowed_bytes_per_token"]),
        "state": int(row["state_bytes_per_sequence"]),
        "window": int(row["window_tokens"]) if row["window_tokens"] else None,
    }


def test_every_row_is_equal_or_an_explained_difference() -> None:
    rows = reference_rows()
    assert len(rows) > 150
    found = {}
    for row in rows:
        ours, theirs = figures(load_model(row["model"])), kept_by_transformers(row)
        unequal = {key: [ours[key], theirs[key]] for key in ours if ours[key] != theirs[key]}
        if unequal:
            found[row["model"]] = unequal
    assert found == {name: {k: v for k, v in entry.items() if k != "reason"} for name, entry in differences().items()}


def test_a_long_sequence_takes_what_transformers_holds_of_it() -> None:
    """Windows are full at 32,768 tokens; transformers keeps one token less of each, since the next one comes with its own."""
    for row in reference_rows():
        if row["model"] in differences():
            continue
        ours = figures(load_model(row["model"]))
        one_token_of_windows = ours["windowed"] or 0
        held = sequence_bytes(load_model(row["model"]), BF16, LONG_TOKENS)
        assert held - one_token_of_windows == int(row["bytes_at_32768_tokens"]), row["model"]


def test_indexers_differ_by_the_dtype_of_their_keys_alone() -> None:
    for name, entry in differences().items():
        if entry["reason"] != "indexer-keys":
            continue
        layers = sum(len(c.layers) for c in load_model(name).caches if c.kind is CacheKind.INDEXER)
        ours, theirs = entry["growing"]
        assert theirs - ours == layers * INDEXER_KEY_BYTES_SAVED, name


@pytest.mark.parametrize("name", ["deepseek-v4-flash", "deepseek-v4-pro"])
def test_deepseek_v4_differs_in_growth_by_the_dtype_of_its_indexer_keys_alone(name: str) -> None:
    ours, theirs = differences()[name]["growing"]
    indexers = [c for c in load_model(name).caches if c.kind is CacheKind.INDEXER]
    assert theirs - ours == sum(len(c.layers) / c.tokens_per_entry for c in indexers) * INDEXER_KEY_BYTES_SAVED


@pytest.mark.parametrize(
    ("config_class", "name"), [("Starcoder2Config", "starcoder2-7b"), ("PhimoeConfig", "phi-mini-moe")]
)
def test_transformers_windows_every_layer_where_we_do(config_class: str, name: str) -> None:
    """The two whose window is a bare `sliding_window`, without `layer_types`."""
    spec = load_model(name)
    config = getattr(transformers, config_class)(
        num_hidden_layers=2, sliding_window=window_of(spec), bos_token_id=None, eos_token_id=None
    )
    layers = transformers.DynamicCache(config=config).layers
    assert [type(layer).__name__ for layer in layers] == ["DynamicSlidingWindowLayer"] * 2
    assert {c.kind for c in spec.caches} == {CacheKind.SLIDING}


def test_every_reason_has_its_heading() -> None:
    page = (ROOT / "docs" / "kv-differences.md").read_text(encoding="utf-8")
    for name, entry in differences().items():
        assert f"{{ #{entry['reason']} }}" in page, entry["reason"]
        assert name in page
