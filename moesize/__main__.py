"""`python -m moesize`."""

from moesize.cli.main import run

run()
