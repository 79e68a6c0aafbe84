"""`python -m moesize`."""

from moesize.entry import run

run()
