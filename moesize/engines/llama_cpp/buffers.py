"""llama.cpp's compute buffer: what its graph allocator plans for the worst step.

Activations are float32 rows of one physical batch (`-ub`), and buffers of operations that do not overlap in time share
memory, so the largest of a few moments decides:

    logits     ubatch · 4 B · (vocabulary + hidden)                         on the GPU with the output
    MLP        ubatch · 4 B · (2 · intermediate + 2 · hidden) + masks       top_k experts' rows with experts
    attention  ubatch · 4 B · (2 · hidden + 2 · heads · head_dim [+ context · heads without flash attention]) + masks
    experts in host memory: two of a layer's expert matrices, copied over for batches, beside the MLP's rows

Pipeline parallelism keeps copies of the inputs (mask and embedded tokens) beside them. The shapes reproduce the
"compute buffer size" lines of public logs to the MiB where nothing fragments (`validation/data/runtime.yaml`); what is
left over is the calibrated `compute_ratio`. What recurrent layers hold is not derived.
Source: https://github.com/ggml-org/llama.cpp `src/llama-context.cpp` (graph_reserve).
"""

from dataclasses import dataclass

from moesize.engines.llama_cpp.cells import Cells
from moesize.model.spec import CacheKind, Kind, ModelSpec, Role, Split

_FLOAT = 4
_WINDOWED = (CacheKind.SLIDING, CacheKind.CHUNKED)


@dataclass(frozen=True, slots=True)
class Graph:
    """What one device computes.

    Attributes:
        output: It holds the head.
        layers: It holds layers.
        pipeline: Inputs are kept several times over.
        copied_expert_bytes: Expert matrices brought over from host memory at once.
    """

    output: bool
    layers: bool
    pipeline: bool
    copied_expert_bytes: int = 0


def compute_bytes(spec: ModelSpec, cells: Cells, graph: Graph, *, flash_attention: bool) -> int:
    """Bytes of the compute buffer of one device."""
    rows = cells.ubatch_tokens
    hidden = spec.hidden_size or 0
    row = rows * _FLOAT
    rules = cells.rules
    width = rules.value("mask_bytes_flash") if flash_attention else _FLOAT
    handed = rules.value("mask_input_bytes_flash") if flash_attention else _FLOAT
    mask_cells = _mask_cells(spec, cells)
    copies = rules.value("pipeline_copies") if graph.pipeline else 1
    # Copies of the inputs lie beside everything; without them the logits may take the place of the mask.
    beside = copies * (mask_cells * handed + row * hidden) if copies > 1 else 0
    mask = mask_cells * (width - handed if copies > 1 else width)
    moments = [0]
    if graph.output:
        outputs = rows if rules.value("reserved_outputs") == "ubatch" else min(rows, cells.slots)
        moments.append(outputs * _FLOAT * (spec.vocab_size or 0) + row * hidden)
    if graph.layers:
        moments.append(row * (_mlp_columns(spec) + 2 * hidden) + mask + graph.copied_expert_bytes)
        moments.append(row * (2 * hidden + _attention_columns(spec, cells, flash_attention=flash_attention)) + mask)
    return max(moments) + beside


def _mask_cells(spec: ModelSpec, cells: Cells) -> int:
    """Cells of the masks of full and of windowed layers, one each, for every token of a physical batch."""
    kinds = {c.kind in _WINDOWED: cells.of(c) for c in spec.caches if c.kind is not CacheKind.STATE}
    return cells.ubatch_tokens * sum(kinds.values())


def _mlp_columns(spec: ModelSpec) -> int:
    """Columns alive in the widest MLP: gate and up; with experts also the result of each before they are added up."""
    widest = 0
    for tensor in spec.tensors:
        inside = tensor.loaded and tensor.kind is Kind.LINEAR and tensor.split is Split.ROW
        if inside and tensor.role is Role.ROUTED_EXPERT:
            used = tensor.active_experts
            widest = max(widest, used * (2 * tensor.in_features), used * (tensor.in_features + tensor.out_features))
        elif inside and tensor.role is Role.MLP:
            widest = max(widest, 2 * tensor.in_features)
    return widest


def _attention_columns(spec: ModelSpec, cells: Cells, *, flash_attention: bool) -> int:
    """Queries and result of the widest attention, and its scores over the whole context where they are kept."""
    columns = 0
    for attention in spec.attentions:
        queries = 2 * attention.num_heads * attention.qk_head_dim
        scores = 0 if flash_attention else attention.num_heads * cells.context_tokens
        columns = max(columns, queries + scores)
    return columns


def dequantised_bytes(spec: ModelSpec) -> int:
    """The largest matrix in float16."""
    sizes = (t.out_features * t.in_features for t in spec.tensors if t.loaded and t.kind is Kind.LINEAR)
    return 2 * max(sizes, default=0)
