"""Models on hardware the vLLM recipes call verified come out as running there, in the layout the recipe states."""

import pytest

from moesize import EngineOptions, check
from moesize.data import read_yaml
from validation import DATA

ROWS = read_yaml(DATA / "recipes.yaml")["rows"]
#: The upper end of the interval is over the budget: nothing says how many sequences the recipe's author ran.
TIGHT = {("google/gemma-4-31B-it", "H100", 1)}


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r['model']}-{r['gpu']}-tp{r['tp']}")
def test_a_verified_pair_runs(row: dict[str, object]) -> None:
    asked = {k: v for k, v in row.items() if k not in ("model", "gpu", "source", "mm_encoder_tp_mode")}
    options = EngineOptions(mm_encoder_data_parallel=row.get("mm_encoder_tp_mode") == "data")
    report = check(row["model"], row["gpu"], gpus=row["tp"], options=options, **asked)  # type: ignore[arg-type]
    expected = "tight" if (row["model"], row["gpu"], row["tp"]) in TIGHT else "fits"
    assert report.verdict == expected, report.reasons
