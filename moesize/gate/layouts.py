"""How a launch spreads its model: what it states, and what its engine or platform does with the GPUs otherwise."""

from dataclasses import dataclass
from typing import Final

from moesize.gate.facts import Deployment
from moesize.question import LAYER_SPLIT_ENGINES

#: Engines that take every GPU they see when nothing is stated.
_TAKES_ALL_ENGINES: Final = ("tgi", "unknown", *LAYER_SPLIT_ENGINES)
#: Platforms that set the tensor-parallel size to the GPUs of a node, and the stages to the nodes.
_TAKES_ALL_FORMATS: Final = ("plain", "kaito")


@dataclass(frozen=True, slots=True)
class Spread:
    """A layout, the GPUs it needs, and a sentence where it is not the file's own."""

    tp: int
    pp: int
    dp: int
    ep: bool
    gpus_needed: int
    note: str | None = None


def spread(deployment: Deployment, *, gpus_given: int | None, experts: bool) -> Spread:
    """The layout of a deployment on `gpus_given` GPUs; vLLM, SGLang and TensorRT-LLM use one where none is stated."""
    engine = deployment.engine.value
    tp = deployment.tensor_parallel.value if deployment.tensor_parallel else None
    pp = deployment.pipeline_parallel.value if deployment.pipeline_parallel else None
    dp = deployment.data_parallel.value if deployment.data_parallel else 1
    ep = bool(deployment.expert_parallel and deployment.expert_parallel.value and experts)
    sizes = (1 if tp is None else tp, 1 if pp is None else pp, dp)
    if min(sizes) < 1:
        return Spread(*sizes, ep, 1)  # the engine's to refuse, in its words
    if engine == "sglang":
        return _sglang(deployment, tp or 1, pp or 1, dp, ep=ep, experts=experts)
    takes_all = engine in _TAKES_ALL_ENGINES or deployment.format in _TAKES_ALL_FORMATS
    if tp is not None or not takes_all or gpus_given is None:
        given = Spread(tp or 1, pp or 1, dp, ep, (tp or 1) * (pp or 1) * dp)
        return _by_layers(given) if engine in LAYER_SPLIT_ENGINES else given
    if engine in LAYER_SPLIT_ENGINES:
        return Spread(1, gpus_given, 1, ep=False, gpus_needed=gpus_given)
    nodes = max(1, deployment.nodes.value) if deployment.nodes else 1
    stages = pp or (nodes if gpus_given % nodes == 0 and deployment.format == "kaito" else 1)
    tp = max(1, gpus_given // (stages * dp))
    return Spread(tp, stages, dp, ep, tp * stages * dp)


def _by_layers(given: Spread) -> Spread:
    """Engines that give each GPU whole layers: whatever the ranks are called, they are stages."""
    return Spread(1, given.gpus_needed, 1, ep=False, gpus_needed=given.gpus_needed)


def _sglang(deployment: Deployment, tp: int, pp: int, dp: int, *, ep: bool, experts: bool) -> Spread:
    """Attention data parallelism shares the tensor-parallel group's GPUs; plain data parallelism starts more servers.

    Source: https://docs.sglang.io/advanced_features/dp_dpa_smg_guide.html
    """
    if dp == 1 or not (deployment.dp_attention and deployment.dp_attention.value):
        return Spread(tp, pp, 1, ep, tp * pp * dp)
    if tp % dp:
        # the engine refuses it; kept as stated so that the refusal says so
        return Spread(tp, pp, dp, ep, tp * pp)
    return Spread(tp // dp, pp, dp, ep or experts, tp * pp)
