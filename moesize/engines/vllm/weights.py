"""What vLLM holds on one rank after loading: the rank's tensors as its kernels keep them, and what it adds to them."""

from collections.abc import Iterator

from moesize.engines.base import Request, Term, exact
from moesize.engines.vllm import allocator
from moesize.engines.vllm.constants import Kernels, Rules
from moesize.engines.vllm.encoder import deepstack_levels
from moesize.engines.vllm.loaded import loaded_bytes
from moesize.memory.layout import Stage
from moesize.memory.sharding import RankTensor
from moesize.memory.weights import published_share_bytes
from moesize.model.spec import CacheKind, Kind, ModelSpec, Role, Tensor
from moesize.quant.formats import WeightFormat
from moesize.quant.scheme import QuantScheme
from moesize.units import DTYPE_BYTES

_SOURCE = "https://github.com/vllm-project/vllm/tree/main/vllm/model_executor/layers"
_MODELS = "https://github.com/vllm-project/vllm/tree/main/vllm/model_executor/models"
#: (what, bytes, how)
_Extra = tuple[str, int, str]


def weight_terms(
    request: Request, tensors: tuple[RankTensor, ...], stage: Stage, rules: Rules, batched_tokens: int
) -> list[Term]:
    """One term per role and one for each thing the engine adds; what is kept in host memory comes off as a term.

    Raises:
        LayoutError: a shape the kernels do not take.
    """
    spec, scheme = request.spec, request.scheme
    by_role, extras = rank_weights(request, tensors, stage, rules, batched_tokens)
    terms = [
        exact(role.value, "weights", n_bytes, "counted", f"{scheme.name}, as loaded on one rank", spec.source)
        for role, n_bytes in sorted(by_role.items(), key=lambda item: -item[1])
    ]
    terms += [exact(what, "weights", n_bytes, "engine rule", how, _SOURCE) for what, n_bytes, how in extras if n_bytes]
    levels = deepstack_levels(t.part for t in tensors)
    if levels:
        rows = levels * batched_tokens * (spec.hidden_size or 0) * DTYPE_BYTES[spec.dtype]
        formula = "a hidden row per batched token and level of the vision tower that reaches into the model's layers"
        terms.append(exact("deepstack buffers", "weights", rows, "engine rule", formula, _MODELS))
    rounding = allocator_rounding_bytes(request, tensors, rules)
    if rounding:
        formula = "matrices above 10 MiB lie in whole 2 MiB, and a rest of at most 1 MiB stays with them"
        terms.append(exact("allocator rounding", "weights", rounding, "engine rule", formula, allocator.SOURCE))
    if request.options.cpu_offload_bytes:
        moved = min(request.options.cpu_offload_bytes, sum(term.n_bytes for term in terms))
        formula = "weights kept in host memory (cpu_offload_gb) and read over PCIe at every step"
        terms.append(exact("offloaded to the host", "weights", -moved, "given", formula, _SOURCE))
    return terms


def rank_weights(
    request: Request, tensors: tuple[RankTensor, ...], stage: Stage, rules: Rules, batched_tokens: int
) -> tuple[dict[Role, int], list[_Extra]]:
    """Bytes of a rank by role, and what the engine holds beside the checkpoint's tensors.

    Raises:
        LayoutError: a shape the kernels do not take.
    """
    spec, scheme = request.spec, request.scheme
    by_role: dict[Role, int] = {}
    copies = 0
    for mine, fmt, n_bytes in _held(request, tensors, rules):
        by_role[mine.role] = by_role.get(mine.role, 0) + n_bytes
        if fmt is not None and "kv_b_proj" in mine.name:
            copies += mine.out_features * mine.in_features * mine.repeats * DTYPE_BYTES[scheme.dtype]
    family = rules.entry("family_buffers")["bytes"].get(spec.architecture, 0)
    sparse_buffers = _indexer_buffers(request, stage, rules, batched_tokens)
    extras = [
        ("absorbed MLA projections", copies, "16-bit copies of a quantised kv_b_proj for the absorbed decode path"),
        ("values kept as keys", _shared_values(tensors, scheme.dtype), "values that equal the keys keep a copy"),
        (
            "rotary tables",
            rotary_bytes(spec),
            "positions × rotary dimension × bytes, one table per rope, on every rank",
        ),
        ("expert maps", _expert_maps(tensors, request), "4 B per expert and MoE layer that say where each expert is"),
        ("attention scales", _attention_scales(request, stage), "scales of each attention layer's q, k, v and scores"),
        ("expert scales", _expert_scales(tensors, request.scheme), "scalars of the fused experts of each layer"),
        ("family buffers", family, "constants of the family's own class"),
        ("sparse attention buffers", sparse_buffers, "top-k of every batched token, a workspace per indexer layer"),
    ]
    return {role: n for role, n in by_role.items() if n}, extras


def _held(
    request: Request, tensors: tuple[RankTensor, ...], rules: Rules
) -> Iterator[tuple[Tensor, WeightFormat | None, int]]:
    """Every part of a rank's tensors that is stored alike: what it is, in which format, and its bytes once loaded."""
    scheme = request.scheme
    capability = request.gpu.compute_capability
    hopper = capability is None or capability[0] == 9
    kernels = Kernels(rules, scheme.method, scheme.dtype, hopper=hopper, tp=request.layout.tp)
    sparse = any(cache.kind is CacheKind.INDEXER for cache in request.spec.caches)
    if scheme.format is not None:
        from moesize.engines.vllm import kernels as quantised  # noqa: PLC0415  unquantised models need none of it

        fused_experts = quantised.has_mxfp4_experts(tensors, scheme)
    else:
        fused_experts = False
    for held in tensors:
        part = held.part
        for piece, fmt in scheme.parts(held.whole):
            mine = part if piece.layers == part.layers else part.only(piece.layers or ())
            if sparse and _stays_wide(mine):
                fmt = None  # noqa: PLW2901
            if fused_experts and mine.role is Role.ROUTED_EXPERT and mine.kind is Kind.VECTOR:
                yield mine, fmt, quantised.expert_bias_bytes(mine, kernels)
            else:
                yield mine, fmt, loaded_bytes(mine, fmt, kernels)


def allocator_rounding_bytes(request: Request, tensors: tuple[RankTensor, ...], rules: Rules) -> int:
    """What the blocks a rank's matrices lie in take beyond the matrices; scales are arrays of their own."""
    blocks: dict[tuple[str, tuple[int, ...] | None], int] = {}
    for mine, fmt, n_bytes in _held(request, tensors, rules):
        if mine.kind is Kind.VECTOR or not n_bytes:
            continue
        key = allocator.block_of(mine.name), mine.layers
        bits = None if fmt is None else fmt.bits
        matrix = mine.out_features * mine.in_features * mine.copies * bits // 8 if bits else n_bytes
        blocks[key] = blocks.get(key, 0) + int(min(matrix, n_bytes)) // mine.repeats
    return allocator.rounding_bytes(
        (size, 1 if layers is None else len(layers)) for (_, layers), size in blocks.items()
    )


def published_weight_terms(spec: ModelSpec, scheme: QuantScheme, gpus: int) -> list[Term]:
    """The weights of a model of which only totals are published, divided evenly."""
    formula = f"published total × bits of {scheme.name} ÷ {gpus} GPUs; how it would divide is not known"
    return [exact("weights", "weights", published_share_bytes(spec, scheme, gpus), "counted", formula, spec.source)]


def _stays_wide(part: Tensor) -> bool:
    """The indexer's key and head-weight projections are one fused 16-bit matrix."""
    return part.role is Role.INDEXER and part.name.removesuffix(".weight").endswith((".wk", ".weights_proj"))


def rotary_bytes(spec: ModelSpec) -> int:
    """Cosines and sines of every distinct rope, for all positions the configuration allows."""
    return sum(r.positions * r.rotary_dim * DTYPE_BYTES[r.dtype or spec.dtype] for r in spec.ropes)


def _shared_values(tensors: tuple[RankTensor, ...], dtype: str) -> int:
    """Bytes of value projections that a checkpoint leaves out because they equal the key projections (Gemma 4)."""
    keys = [
        t.part for t in tensors if t.part.name.endswith(".self_attn.k_proj.weight") and t.part.role is Role.ATTENTION
    ]
    with_values = {i for t in tensors if t.part.name.endswith(".self_attn.v_proj.weight") for i in t.part.layers or ()}
    lone = ((part, sum(i not in with_values for i in part.layers or ())) for part in keys)
    return sum(part.out_features * part.in_features * DTYPE_BYTES[dtype] * n for part, n in lone)


def _expert_maps(tensors: tuple[RankTensor, ...], request: Request) -> int:
    if not request.layout.ep:
        return 0
    layers: dict[int, int] = {}
    for held in tensors:
        if held.whole.role is Role.ROUTED_EXPERT:
            layers.update(dict.fromkeys(held.part.layers or (), held.whole.experts))
    return 4 * sum(layers.values())


def _attention_scales(request: Request, stage: Stage) -> int:
    kinds = (CacheKind.FULL, CacheKind.SLIDING, CacheKind.CHUNKED, CacheKind.LATENT)
    caches = [c for c in request.spec.caches if c.kind in kinds]
    layers = sum(i in stage.layers for c in caches for i in c.layers)
    latent = any(c.kind is CacheKind.LATENT for c in caches)
    method = request.scheme.method
    own_cache_method = method in ("modelopt", "compressed-tensors") or (method == "fp8" and not latent)
    return layers * (24 if own_cache_method else 16)


def _expert_scales(tensors: tuple[RankTensor, ...], scheme: QuantScheme) -> int:
    if scheme.format is None:
        return 0
    from moesize.engines.vllm.kernels import expert_scales_bytes  # noqa: PLC0415  unquantised models need none of it

    return expert_scales_bytes(tensors, scheme)


def _indexer_buffers(request: Request, stage: Stage, rules: Rules, batched_tokens: int) -> int:
    layers = sum(i in stage.layers for c in request.spec.caches if c.kind is CacheKind.INDEXER for i in c.layers)
    if not layers:
        return 0
    entry = rules.entry("sparse_indexer")
    return int(layers * entry["bytes_per_layer"] + batched_tokens * entry["top_k"] * 4)
