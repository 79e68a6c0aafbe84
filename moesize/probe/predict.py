"""What the probe expects to measure, from shapes alone: the part of the activation model no device has a say in."""

from collections.abc import Iterable
from dataclasses import dataclass

from moesize.engines.vllm.activations import Step, forward_bytes, mla_prefill_bytes, moe_workspace_bytes
from moesize.memory.layout import Layout
from moesize.memory.sharding import RankTensor
from moesize.model.spec import ModelSpec
from moesize.units import DTYPE_BYTES


@dataclass(frozen=True, slots=True)
class StepShape:
    """One step: `tokens` through the layers, then one row of logits for each of `rows` sequences."""

    tokens: int
    rows: int
    max_model_len: int


def forward_peak_bytes(spec: ModelSpec, tensors: Iterable[RankTensor], layout: Layout, step: StepShape) -> int:
    """Peak of a forward pass: hidden and residual rows, the widest intermediate, expert workspaces."""
    held, engine_step = list(tensors), _engine_step(step)
    width = DTYPE_BYTES[spec.dtype]
    widest = forward_bytes(spec, held, engine_step, width)
    return widest + moe_workspace_bytes(spec, held, layout, engine_step)


def workspace_bytes(spec: ModelSpec, tensors: Iterable[RankTensor], layout: Layout, step: StepShape) -> int:
    """The workspaces of the experts, which an engine keeps between steps."""
    return moe_workspace_bytes(spec, list(tensors), layout, _engine_step(step))


def mla_prefill_tokens(spec: ModelSpec, tensors: Iterable[RankTensor], mla_rows: int, step: StepShape) -> int:
    """Rows of MLA's up-projection that a step allocates."""
    n_bytes = mla_prefill_bytes(spec, list(tensors), _engine_step(step), DTYPE_BYTES[spec.dtype])
    return n_bytes // (mla_rows * DTYPE_BYTES[spec.dtype]) if mla_rows else 0


def sampler_bytes(rows: int, vocab: int, dtype: str) -> int:
    """Logits in the model's dtype and three float32 copies of them (converted, masked, probabilities)."""
    return rows * vocab * (DTYPE_BYTES[dtype] + 3 * 4)


def _engine_step(step: StepShape) -> Step:
    return Step(step.tokens, step.rows, step.max_model_len)
