"""What `explain` says in words."""

import pytest

from moesize.cli.main import main


@pytest.mark.parametrize(
    ("name", "says", "says_not"),
    [
        ("deepseek-v3", "more are stored, not loaded unless they draft (MTP)", ", 1 layers"),
        ("speculator-eagle3-llama-3.1-8b", "more are stored, not loaded model:", "(MTP)"),
        ("eagle-mixtral-8x7b", "eagle, 1 layer, context", ", 1 layers"),
    ],
)
def test_what_is_stored_and_not_loaded_is_called_what_it_is(
    name: str, says: str, says_not: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", name]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert says in text
    assert says_not not in text
