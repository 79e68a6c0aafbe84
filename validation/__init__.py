"""Public measurements and exact references, and how far moesize's predictions are from them."""

from pathlib import Path

#: Where the measurements lie.
DATA = Path(__file__).with_name("data")
