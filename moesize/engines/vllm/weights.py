"""What vLLM holds on one rank after loading: the rank's tensors as its kernels keep them, and the rotary tables."""

from moesize.engines.base import Term, exact
from moesize.memory.sharding import RankTensor
from moesize.memory.weights import published_share_bytes, weights_by_role
from moesize.model.spec import ModelSpec
from moesize.quant.scheme import QuantScheme
from moesize.units import DTYPE_BYTES

_SOURCE = "https://github.com/vllm-project/vllm/tree/main/vllm/model_executor/layers"


def weight_terms(
    spec: ModelSpec, tensors: tuple[RankTensor, ...], scheme: QuantScheme, cpu_offload_bytes: int = 0
) -> list[Term]:
    """One term per role and one for the rotary tables; what is kept in host memory comes off as a term of its own."""
    terms = [
        exact(role.value, "weights", n_bytes, "counted", f"{scheme.name}, tensors of one rank", spec.source)
        for role, n_bytes in sorted(weights_by_role(tensors, scheme).items(), key=lambda item: -item[1])
    ]
    rotary = rotary_bytes(spec)
    if rotary:
        formula = "positions × rotary dimension × bytes, one table per distinct rope, whole on every rank"
        terms.append(exact("rotary tables", "weights", rotary, "engine rule", formula, _SOURCE))
    if cpu_offload_bytes:
        moved = min(cpu_offload_bytes, sum(term.n_bytes for term in terms))
        formula = "weights kept in host memory (cpu_offload_gb) and read over PCIe at every step"
        terms.append(exact("offloaded to the host", "weights", -moved, "given", formula, _SOURCE))
    return terms


def published_weight_terms(spec: ModelSpec, scheme: QuantScheme, gpus: int) -> list[Term]:
    """The weights of a model of which only totals are published, divided evenly."""
    formula = f"published total × bits of {scheme.name} ÷ {gpus} GPUs; how it would divide is not known"
    return [exact("weights", "weights", published_share_bytes(spec, scheme, gpus), "counted", formula, spec.source)]


def rotary_bytes(spec: ModelSpec) -> int:
    """Cosines and sines of every distinct rope, for all positions the configuration allows."""
    return sum(r.positions * r.rotary_dim * DTYPE_BYTES[r.dtype or spec.dtype] for r in set(spec.ropes))
