"""What engines do whose GPUs compute with weights that stay in host memory: `streaming.yaml`, as an object."""

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from moesize.data import read_yaml

_FILE = Path(__file__).with_name("streaming.yaml")


class Streaming(NamedTuple):
    """One engine's way; the fields are explained in the file."""

    first: Literal["start", "end"]
    copies: bool
    moves: Literal["whole", "touched"]
    overlaps: bool
    source: str


@cache
def streaming_of(engine: str) -> Streaming:
    """How an engine that takes `cpu_offload_bytes` brings them to the GPU."""
    return Streaming(**read_yaml(_FILE)[engine])
