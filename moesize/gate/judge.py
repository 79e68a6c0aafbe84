"""From a deployment's facts to a `Case`: names looked up, engines' defaults filled in, every GPU evaluated."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from moesize.engines.base import EngineOptions
from moesize.gate.case import Case, Option, Outcome, Unknown
from moesize.gate.demands import Demands
from moesize.gate.estimator import Asked, Estimator
from moesize.gate.facts import Deployment, Fact, GpuChoice, Source
from moesize.gate.layouts import Spread, spread
from moesize.gate.lookup import FoundGpu, Lookup
from moesize.gate.speculation import speculating
from moesize.gate.weights import asked_weights
from moesize.hardware import catalogue
from moesize.hardware.gpu import load_gpu
from moesize.model.spec import ModelSpec
from moesize.units import GIB, gib

#: Settings without which there is no verdict, when a file gives them by a reference it does not resolve.
_DECISIVE: Final = frozenset(
    (
        "tensor_parallel",
        "pipeline_parallel",
        "data_parallel",
        "decode_context_parallel",
        "quantization",
        "max_model_len",
        "gpu_memory_utilization",
        "kv_cache_dtype",
        "cpu_offload_gib",
        "kv_cache_memory_bytes",
    )
)
#: Engines that take the model's whole context when no length is given, and stop when one such sequence does not fit.
_WHOLE_CONTEXT_ENGINES: Final = ("vllm",)
#: The plain form asks as `moesize check` does; KAITO sets a length that fits
#: (https://github.com/kaito-project/kaito/blob/main/pkg/workspace/estimator/max_model_len.go).
_OWN_LENGTH_FORMATS: Final = ("plain", "kaito")
#: One card per memory size, from small to large: what the smallest card that will do is looked for among.
_SIZES: Final = (
    *("nvidia-t4", "nvidia-l4", "nvidia-a100-sxm4-40gb", "nvidia-l40s", "nvidia-a100-sxm4-80gb"),
    *("nvidia-h100-sxm5-80gb", "nvidia-h200-sxm", "nvidia-b200", "nvidia-b300"),
)


@dataclass(slots=True)
class Judge:
    """Turns deployments into cases with the memory of one run."""

    lookup: Lookup
    estimator: Estimator

    def case(self, deployment: Deployment, demands: Demands) -> Case:
        """Everything the rules need to know about a deployment."""
        unknowns = list(_unknown_settings(deployment))
        notes: list[str] = []
        given = deployment.model.value if deployment.model else None
        found = self.lookup.model(deployment.model_candidates, given, demands.models)
        if isinstance(found, str):
            unknowns.insert(0, Unknown("model", found, _DECIDE_MODEL))
        if deployment.engine.value == "unknown":
            unknowns.append(Unknown("engine", "the serving engine is not known; vLLM's rules stand in", _DECIDE_ENGINE))
        if deployment.max_loras:
            notes.append("the slots for LoRA adapters are not counted")
        options: tuple[Option, ...] = ()
        if not isinstance(found, str):
            options = self._options(deployment, demands, found.spec, unknowns, notes)
            notes += [found.note] if found.note else []
        else:
            self._only_gpus(deployment, demands, unknowns)
        for option in options:
            notes += option.outcome.notes if option.outcome else ()
        return Case(
            deployment=deployment,
            demands=demands,
            model=None if isinstance(found, str) else found.spec,
            model_name=None if isinstance(found, str) else found.name,
            model_source=Source.DEFAULT if isinstance(found, str) else found.source,
            options=options,
            unknowns=tuple(dict.fromkeys(unknowns)),
            notes=tuple(dict.fromkeys(notes)),
            lock_doubt=None if isinstance(found, str) else found.lock_doubt,
            try_again=self.estimator.again,
            advise=self.estimator.advice,
        )

    def _options(
        self, deployment: Deployment, demands: Demands, spec: ModelSpec, unknowns: list[Unknown], notes: list[str]
    ) -> tuple[Option, ...]:
        options: list[Option] = []
        for gpu, choice, several in self._gpus(deployment, demands, unknowns):
            given = _gpus_given(deployment, choice, gpu)
            layout = spread(deployment, gpus_given=given, experts=bool(spec.experts.routed))
            outcome, unknown = self._outcome(deployment, demands, spec, gpu, layout, notes)
            if unknown:
                unknowns.append(unknown)
            option = Option(gpu.spec, choice, several, given, layout.gpus_needed, outcome)
            if _nodes_are_worked_out(deployment) and option.verdict == "oom":
                unknowns.append(
                    Unknown("gpu", "one node does not hold it, and KAITO works out how many do", _DECIDE_NODES)
                )
                option = replace(option, outcome=None)
            options.append(option)
        if options:
            return tuple(options)
        given = _gpus_given(deployment, None, None)
        layout = spread(deployment, gpus_given=given, experts=bool(spec.experts.routed))
        smallest, why = self._smallest(deployment, demands, spec, layout, notes)
        for i, unknown in enumerate(unknowns):
            if unknown.about == "gpu":
                unknowns[i] = Unknown("gpu", unknown.why, f"{why}; {_DECIDE_GPU}")
        return (Option(None, None, several=False, gpus_given=given, gpus_needed=layout.gpus_needed, outcome=smallest),)

    def _gpus(
        self, deployment: Deployment, demands: Demands, unknowns: list[Unknown]
    ) -> Iterator[tuple[FoundGpu, GpuChoice | None, bool]]:
        """Every GPU the deployment may land on, once; names that mean nothing become unknowns."""
        if not deployment.gpus:
            found = self.lookup.named_gpu(demands.gpu) if demands.gpu else "the file does not name a GPU type"
            if isinstance(found, str):
                unknowns.append(Unknown("gpu", found, _DECIDE_GPU))
            else:
                yield found[0], None, False
            return
        for choice in deployment.gpus:
            found = self.lookup.gpus(choice, deployment.format, demands.pools)
            if isinstance(found, str):
                unknowns.append(Unknown("gpu", found, _DECIDE_GPU))
                continue
            if choice.shared:
                why = f"{choice.name.value} is shared in time slices: its memory is not the pod's alone"
                unknowns.append(Unknown("gpu", why, "a MIG slice or a whole GPU per pod"))
            distinct = _sizes(found)
            for gpu in distinct:
                yield gpu, choice, len(distinct) > 1

    def _only_gpus(self, deployment: Deployment, demands: Demands, unknowns: list[Unknown]) -> None:
        """Without a model, still tell what is wrong with the GPU."""
        for _ in self._gpus(deployment, demands, unknowns):
            pass

    def _outcome(
        self,
        deployment: Deployment,
        demands: Demands,
        spec: ModelSpec,
        gpu: FoundGpu,
        layout: Spread,
        notes: list[str],
    ) -> tuple[Outcome | None, Unknown | None]:
        weights = asked_weights(deployment, spec, gpu.spec)
        if weights.unknown:
            return None, Unknown(
                "quantization", weights.unknown, "a quantisation `moesize quants` lists, by flag or annotation"
            )
        if weights.note:
            notes.append(weights.note)
        context, note = asked_context(deployment, demands, spec)
        if note:
            notes.append(note)
        if context is not None and spec.context_length and context > spec.context_length:
            spec = self.estimator.stretched(spec, context)
        engine = deployment.engine.value
        speculation = speculating(deployment, spec, self.lookup, demands)
        notes += [speculation.note] if speculation.note else []
        asked = Asked(
            quant=weights.name,
            context=context,
            concurrency=asked_concurrency(deployment, demands),
            kv_dtype=deployment.kv_cache_dtype.value if deployment.kv_cache_dtype else "auto",
            engine="vllm" if engine == "unknown" else engine,
            version=deployment.engine_version.value if deployment.engine_version else None,
            tp=layout.tp,
            pp=layout.pp,
            dp=layout.dp,
            ep=layout.ep,
            dcp=_positive(deployment.decode_context_parallel) or 1,
            options=replace(_options(deployment, spec), speculation=speculation.counted),
        )
        outcome = self.estimator.outcome(spec, gpu.spec, asked)
        partly = deployment.experts_on_cpu is not None and outcome.evaluation is not None
        if partly and outcome.evaluation and outcome.evaluation.judgement.verdict != "oom":
            why = "how many layers keep their experts in host memory is not read"
            return outcome, Unknown("setting", why, "`moesize check --engine llama.cpp` with the layers")
        return outcome, None

    def _smallest(
        self, deployment: Deployment, demands: Demands, spec: ModelSpec, layout: Spread, notes: list[str]
    ) -> tuple[Outcome | None, str]:
        """The outcome on the smallest card of `_SIZES` that fits, and a sentence about it."""
        many = f"{layout.gpus_needed}× " if layout.gpus_needed > 1 else ""
        outcome: Outcome | None = None
        for gpu_id in _SIZES:
            outcome, _ = self._outcome(deployment, demands, spec, FoundGpu(load_gpu(gpu_id)), layout, notes)
            if outcome is None or outcome.refusal is not None:
                return outcome, "no card runs it as laid out"
            if outcome.evaluation and outcome.evaluation.judgement.verdict == "fits":
                size = round(gib(catalogue.memory_bytes(gpu_id)))
                return outcome, f"the smallest card tried that fits is {many}{load_gpu(gpu_id).name} ({size} GiB)"
        return outcome, f"it fits no card up to {many}{load_gpu(_SIZES[-1]).name} as laid out"


_DECIDE_MODEL: Final = (
    "the annotation moesize.dev/model, an entry in the policy's [models], or `moesize lock` for a model of the Hub"
)
_DECIDE_GPU: Final = (
    "name one by a node selector, the annotation moesize.dev/gpu, the policy's `gpu` or [pools], or --gpu"
)
_DECIDE_NODES: Final = "state `resource.count`"
_DECIDE_ENGINE: Final = "a command that starts a known engine"


def _sizes(found: tuple[FoundGpu, ...]) -> tuple[FoundGpu, ...]:
    """One card per memory size, the smallest for it: form factors differ by no more than drivers do."""
    by_size: dict[float, FoundGpu] = {}
    for gpu in found:
        known = by_size.setdefault(gpu.spec.nominal_gb, gpu)
        if gpu.spec.memory_bytes < known.spec.memory_bytes:
            by_size[gpu.spec.nominal_gb] = gpu
    return tuple(by_size[size] for size in sorted(by_size))


def _nodes_are_worked_out(deployment: Deployment) -> bool:
    """Whether the platform chooses the number of nodes, and with it the layout, by what the model needs.

    Source: https://github.com/kaito-project/kaito/tree/main/pkg/workspace/estimator
    """
    return deployment.format == "kaito" and deployment.nodes is None and deployment.tensor_parallel is None


def _unknown_settings(deployment: Deployment) -> Iterator[Unknown]:
    for note in deployment.notes:
        if note.kind in ("unresolved", "unreadable") and note.setting in _DECISIVE:
            what = note.setting.replace("_", " ")
            if note.kind == "unresolved":
                yield Unknown(
                    "setting",
                    f"{what} refers to {note.text}, which the files do not give",
                    "render the template, or give the value",
                )
            else:
                yield Unknown("setting", f"{what} cannot be read from {note.text}", "a number the engine takes")


def _gpus_given(deployment: Deployment, choice: GpuChoice | None, gpu: FoundGpu | None) -> int | None:
    """GPUs of one copy: those of a pod, or of the instance, times the pods."""
    stated: Fact[int] | None = (choice.count if choice else None) or deployment.gpu_count
    per_pod = stated.value if stated else (gpu.count if gpu else None)
    nodes = max(1, deployment.nodes.value) if deployment.nodes else 1
    return None if per_pod is None else per_pod * nodes


def asked_context(deployment: Deployment, demands: Demands, spec: ModelSpec) -> tuple[int | None, str | None]:
    """Tokens of a sequence the server will be asked to hold, and a note where nothing says so."""
    given = deployment.max_model_len.value if deployment.max_model_len else None
    own_length = deployment.format in _OWN_LENGTH_FORMATS
    if given is not None and given > 0:
        if deployment.engine.value == "llama.cpp" and deployment.max_num_seqs:
            return max(1, given // max(1, deployment.max_num_seqs.value)), None
        return given, None
    if given is None and deployment.engine.value in _WHOLE_CONTEXT_ENGINES and not own_length:
        return spec.context_length, None
    wanted = demands.context_tokens
    if wanted is not None:
        return min(wanted, spec.context_length or wanted), None
    return None, "no length is given: judged at the default of `moesize check`"


def asked_concurrency(deployment: Deployment, demands: Demands) -> int:
    """Sequences at once: what the policy or the file asks for; llama.cpp holds all its slots."""
    if deployment.engine.value == "llama.cpp" and deployment.max_num_seqs and deployment.max_num_seqs.value > 0:
        return deployment.max_num_seqs.value
    stated = deployment.concurrency.value if deployment.concurrency else 1
    return max(stated, demands.concurrency or 1)


def _options(deployment: Deployment, spec: ModelSpec) -> EngineOptions:
    layers = _positive(deployment.gpu_layers)
    return EngineOptions(
        gpu_memory_utilization=deployment.gpu_memory_utilization.value if deployment.gpu_memory_utilization else None,
        max_num_batched_tokens=_positive(deployment.max_num_batched_tokens),
        max_num_seqs=_positive(deployment.max_num_seqs),
        enforce_eager=bool(deployment.enforce_eager and deployment.enforce_eager.value),
        cpu_offload_bytes=round(deployment.cpu_offload_gib.value * GIB) if deployment.cpu_offload_gib else 0,
        kv_cache_memory_bytes=_positive(deployment.kv_cache_memory_bytes),
        redundant_experts=_positive(deployment.redundant_experts) or 0,
        prefix_caching=deployment.prefix_caching.value if deployment.prefix_caching else None,
        max_cudagraph_capture_size=_positive(deployment.max_cudagraph_capture_size),
        language_model_only=bool(deployment.language_model_only and deployment.language_model_only.value),
        n_gpu_layers=layers,
        n_cpu_moe=spec.num_layers if deployment.experts_on_cpu and deployment.experts_on_cpu.value else None,
    )


def _positive(fact: Fact[int] | None) -> int | None:
    return fact.value if fact is not None and fact.value > 0 else None
