"""A device whose bytes need not be touched."""

import pytest

from moesize.probe.cpu import Cpu


@pytest.fixture
def device() -> Cpu:
    return Cpu(touch=False)
