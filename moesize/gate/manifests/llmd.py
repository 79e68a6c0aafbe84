"""llm-d: values of the modelservice and deployer charts, scenarios of its benchmark."""

from collections.abc import Iterator

from moesize.gate.assemble import Draft
from moesize.gate.document import Document, Node
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.flags import VLLM
from moesize.gate.gpus import integer, named_gpu, resource_gpus, selector_gpus
from moesize.gate.launch import Container, find_launches
from moesize.gate.pods import environment, whole_number, words
from moesize.gate.settings import Settings, parse_flags
from moesize.gate.shell import Word
from moesize.gate.tree import Tree

_ROLES = ("decode", "prefill")
#: Kinds of accelerator the modelservice chart knows besides GPUs of NVIDIA and AMD.
_DEVICES = {"intel-gaudi": "gaudi", "google": "tpu", "intel-i915": "intel-gpu", "intel-xe": "intel-gpu", "cpu": "cpu"}
_NAME_TEMPLATE = "{{ .Values.modelArtifacts.name }}"


def matches(document: Document) -> bool:
    """By the top-level keys of the charts' values."""
    root = document.root
    return bool(root.get("modelArtifacts") or root.get("sampleApplication", "model") or _scenarios(root))


def read(document: Document, tree: Tree) -> Iterator[Draft]:
    """Decode and prefill are drafts of their own."""
    root = document.root
    if root.get("modelArtifacts"):
        yield from _modelservice(root, tree)
    elif root.get("sampleApplication"):
        yield from _deployer(root)
    for scenario in _scenarios(root):
        yield from _scenario(scenario)


def _scenarios(root: Node) -> list[Node]:
    scenarios = root.get("scenario")
    return [s for s in (scenarios.elements if scenarios else ()) if s.get("common", "model") or s.get("model")]


def _parts(holder: Node) -> Iterator[tuple[str, Node]]:
    for role in _ROLES:
        part = holder.get(role)
        if part is None:
            continue
        switches = [part.get(key) for key in ("create", "enabled")]
        if any(switch is not None and switch.boolean is False for switch in switches):
            continue
        if whole_number(part.get("replicas")) != 0:
            yield role, part


def _modelservice(root: Node, tree: Tree) -> Iterator[Draft]:
    artifacts = root.get("modelArtifacts")
    if artifacts is None:
        return
    parts = list(_parts(root))
    accelerator = root.get("accelerator", "type")
    device = _DEVICES.get(accelerator.text or "") if accelerator else None
    for role, part in parts:
        containers = part.get("containers")
        for container in containers.elements if containers else ():
            variables, _ = environment(container, tree, {})
            settings = Settings()
            args = words(container.get("args"), variables)
            parse_flags(VLLM, args, settings)
            found = find_launches(_container(container, args, variables))
            if container.text_at("modelCommand") == "custom" and found:
                settings = found[0].settings
            _give_artifacts(artifacts, settings)
            _give_parallelism(part, settings)
            count, mig, other = resource_gpus(container.get("resources"))
            yield Draft(
                format="llm-d",
                kind="ModelService",
                name=artifacts.text_at("name") or "unnamed",
                container=container.text_at("name"),
                where=part.position,
                engine="vllm",
                settings=settings,
                role=role if len(parts) > 1 else None,
                image=container.get("image"),
                gpus=_accelerator_types(part.get("acceleratorTypes")) or ((mig,) if mig else ()),
                gpu_count=count or _derived_count(part),
                nodes=integer(part.get("parallelism", "workers")),
                replicas=integer(part.get("replicas")),
                device=Fact(device, Source.STATED, accelerator.position) if device and accelerator else other,
                annotations=part.get("annotations"),
            )


def _container(container: Node, args: list[Word], variables: dict[str, str | None]) -> Container:
    command = words(container.get("command"), variables)
    image = container.text_at("image") or ""
    return Container((*command, *args), container.position, image, not command, variables)


def _give_artifacts(artifacts: Node, settings: Settings) -> None:
    uri, name = artifacts.get("uri"), artifacts.get("name")
    if uri is not None and uri.text and _NAME_TEMPLATE not in uri.text:
        settings.give_node("model", uri, "modelArtifacts.uri", weaker=True)
    elif name is not None:
        settings.give_node("model", name, "modelArtifacts.name", weaker=True)


def _give_parallelism(part: Node, settings: Settings) -> None:
    for key, setting in (("tensor", "tensor_parallel"), ("data", "data_parallel"), ("pipeline", "pipeline_parallel")):
        if settings.last(setting) is None:  # the charts hand them to the command as variables
            settings.give_node(setting, part.get("parallelism", key), f"parallelism.{key}")


def _derived_count(part: Node) -> Fact[int]:
    """Without a limit of its own, the chart asks for tensor × local data-parallel GPUs."""
    parallelism = part.get("parallelism")
    tensor = whole_number(parallelism.get("tensor")) if parallelism else None
    local = whole_number(parallelism.get("dataLocal")) if parallelism else None
    return Fact((tensor or 1) * (local or 1), Source.INFERRED, (parallelism or part).position)


def _accelerator_types(types: Node | None) -> tuple[GpuChoice, ...]:
    key, values = (types.text_at("labelKey"), types.get("labelValues")) if types else (None, None)
    single = types.get("labelValue") if types else None
    nodes = list(values.elements) if values else [single] if single else []
    return tuple(choice for node in nodes if key and (choice := named_gpu(node)))


def _deployer(root: Node) -> Iterator[Draft]:
    application = root.get("sampleApplication")
    if application is None:
        return
    parts = list(_parts(application))
    count, mig, device = resource_gpus(application.get("resources"))
    for role, part in parts or [("", application)]:
        settings = Settings()
        parse_flags(VLLM, words(part.get("extraArgs"), {}), settings)
        settings.give_node("model", application.get("model", "modelArtifactURI"), "modelArtifactURI")
        yield Draft(
            format="llm-d",
            kind="SampleApplication",
            name=application.text_at("model", "modelName") or "unnamed",
            where=part.position,
            engine="vllm",
            settings=settings,
            role=role if len(parts) > 1 else None,
            gpus=(mig,) if mig else (),
            gpu_count=count,
            replicas=integer(part.get("replicas")),
            device=device,
        )


def _scenario(scenario: Node) -> Iterator[Draft]:
    common = scenario.get("common") or scenario
    model = common.get("model")
    if model is None:
        return
    gpus = _accelerator_types(common.get("acceleratorType")) or selector_gpus(common.get("affinity", "nodeSelector"))
    holder = scenario if scenario.get("decode") or scenario.get("prefill") else scenario.get("modelservice") or scenario
    parts = list(_parts(holder))
    for role, part in parts or [("", scenario)]:
        settings = Settings()
        custom = part.get("vllm", "customCommand")
        variables = _scenario_variables(scenario, model, part)
        if custom is not None and custom.text:
            script = Word(custom.text, custom.position, custom.block)
            argv = (Word("sh", custom.position), Word("-c", custom.position), script)
            found = find_launches(Container(argv, custom.position, "", own_entrypoint=False, variables=variables))
            settings = found[0].settings if found else settings
        if settings.text("model") is None or "/" in (settings.text("model") or "")[:1]:
            settings.given.pop("model", None)
            settings.give_node("model", model.get("huggingfaceId") or model.get("name"), "huggingfaceId")
        for key, setting in _SCENARIO_KEYS.items():
            settings.give_node(setting, model.get(key), key, weaker=True)
        _give_parallelism(part, settings)
        yield Draft(
            format="llm-d",
            kind="Scenario",
            name=scenario.text_at("name") or "unnamed",
            where=part.position,
            engine="vllm",
            settings=settings,
            role=role if len(parts) > 1 else None,
            image=None,
            gpus=_accelerator_types(part.get("acceleratorType")) or gpus,
            gpu_count=integer(part.get("accelerator", "count")) or _derived_count(part),
            nodes=integer(part.get("parallelism", "workers")),
            replicas=integer(part.get("replicas")),
        )


_SCENARIO_KEYS = {
    "maxModelLen": "max_model_len",
    "gpuMemoryUtilization": "gpu_memory_utilization",
    "maxNumSeq": "max_num_seqs",
    "maxNumBatchedTokens": "max_num_batched_tokens",
}


def _scenario_variables(scenario: Node, model: Node, part: Node) -> dict[str, str | None]:
    """What the benchmark's own start-up script exports before the command."""
    names = {
        "VLLM_MAX_MODEL_LEN": model.get("maxModelLen"),
        "VLLM_ACCELERATOR_MEM_UTIL": model.get("gpuMemoryUtilization"),
        "VLLM_MAX_NUM_SEQ": model.get("maxNumSeq"),
        "VLLM_MAX_NUM_BATCHED_TOKENS": model.get("maxNumBatchedTokens"),
        "VLLM_BLOCK_SIZE": model.get("blockSize"),
        "MODEL_NAME": model.get("name"),
        "MODEL_PATH": model.get("path"),
        "TP_SIZE": part.get("parallelism", "tensor"),
        "DP_SIZE_LOCAL": part.get("parallelism", "dataLocal"),
        "LWS_GROUP_SIZE": part.get("parallelism", "workers"),
    }
    variables: dict[str, str | None] = {
        name: node.text for name, node in names.items() if node is not None and node.text
    }
    for holder in (scenario.get("vllmCommon"), scenario.get("common"), scenario, part):
        env = holder.get("extraEnvVars") if holder else None
        for entry in env.elements if env else ():
            name, value = entry.text_at("name"), entry.get("value")
            if name:
                variables[name] = value.text if value else None
    return variables
