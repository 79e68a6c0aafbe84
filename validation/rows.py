"""The measured rows: what was asked of a server, what it printed, and the same question put to moesize."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from moesize.data import read_yaml
from moesize.engines.base import EngineOptions
from moesize.errors import MoesizeError
from moesize.hardware.gpu import GpuSpec, load_gpu
from moesize.model.loader import load_model
from moesize.model.spec import ModelSpec
from moesize.question import Evaluation, Question, evaluate
from moesize.sizing import ask
from moesize.speculation import speculation_for
from moesize.units import GIB
from validation import DATA

VLLM_FILES = ("vllm_logs.yaml", "vllm_logs_2.yaml", "vllm_h100_019.yaml")
#: Stands in where a row names no card and only what does not depend on one is asked.
_ANY_CARD = "80GiB"


@dataclass(frozen=True, slots=True)
class Row:
    """One measured run; `weak` says why it is shown and not scored."""

    id: str
    source: str
    asked: Mapping[str, Any]
    observed: Mapping[str, Any]
    weak: str
    file: str

    @property
    def complete(self) -> bool:
        """Whether card and version are known: without them a pool cannot be predicted."""
        return bool(self.version and self.has_card)

    @property
    def has_card(self) -> bool:
        """Whether the row names a card or its total."""
        return bool(self.asked.get("gpu") or self.asked.get("gpu_total_gib"))

    @property
    def version(self) -> str | None:
        """Of the engine."""
        return self.asked.get("version")

    @property
    def gpus(self) -> int:
        """Of one replica."""
        return int(self.asked.get("tp", 1)) * int(self.asked.get("pp", 1))


@cache
def load_rows(*files: str) -> tuple[Row, ...]:
    """The rows of data files."""
    found = []
    for name in files:
        for entry in read_yaml(DATA / name)["rows"]:
            asked = dict(entry["asked"])
            weak = asked.pop("weak", "")
            found.append(Row(entry["id"], entry["source"], asked, entry["observed"], weak, name))
    return tuple(found)


@cache
def model_of(name: str) -> ModelSpec | None:
    """The model of a catalogue name; None where there is none."""
    try:
        return load_model(name, offline=True)
    except MoesizeError:
        return None


def card_of(row: Row) -> GpuSpec:
    """The row's card, with the total it printed where it did."""
    card = load_gpu(row.asked.get("gpu") or f"{row.asked.get('gpu_total_gib')}GiB" if row.has_card else _ANY_CARD)
    if "vendor" in row.asked:
        card = replace(card, vendor=row.asked["vendor"])
    if "gpu_total_gib" not in row.asked:
        return card
    total = round(row.asked["gpu_total_gib"] * GIB)
    return replace(card, memory_bytes=total, memory_low_bytes=total, memory_high_bytes=total)


def question(row: Row, *, kv_cache_memory_bytes: int | None = None, context: int | None = None) -> Question:
    """The question a row asked, as moesize takes it.

    Raises:
        MoesizeError: what the engine refuses.
    """
    asked = row.asked
    spec = model_of(asked["model"])
    if spec is None:
        raise MoesizeError(f"no spec of {asked['model']}")
    context = context or asked.get("max_model_len") or min(8192, spec.context_length or 8192)
    if spec.context_length and context > spec.context_length:
        spec = replace(spec, context_length=context)
    return ask(
        spec,
        card_of(row),
        quant=asked.get("quant"),
        context=context,
        kv_dtype=asked.get("kv_dtype", "auto"),
        engine_version=row.version,
        tp=asked.get("tp", 1),
        pp=asked.get("pp", 1),
        dp=asked.get("dp", 1),
        ep=asked.get("ep", False),
        dcp=asked.get("dcp", 1),
        options=EngineOptions(
            gpu_memory_utilization=asked.get("gpu_memory_utilization"),
            max_num_batched_tokens=asked.get("max_num_batched_tokens"),
            max_num_seqs=asked.get("max_num_seqs"),
            enforce_eager=asked.get("enforce_eager", False),
            kv_cache_memory_bytes=kv_cache_memory_bytes,
            prefix_caching=asked.get("prefix_caching"),
            language_model_only=asked.get("language_model_only", False),
            max_cudagraph_capture_size=asked.get("max_cudagraph_capture_size"),
            flashinfer_sampler=asked.get("flashinfer_sampler"),
            speculation=speculation_for(spec, asked["speculative"], offline=True) if "speculative" in asked else None,
        ),
    )


def evaluation(row: Row, **changes: int | None) -> Evaluation:
    """What moesize answers to a row.

    Raises:
        MoesizeError: what the engine refuses.
    """
    return evaluate(question(row, **changes))
