"""A device's facts as a file of `gpu_specs/`, ready to be completed."""

from datetime import date

from moesize.hardware.catalogue import normalise
from moesize.hardware.spec import GpuSpec
from moesize.probe.device import DeviceFacts
from moesize.units import GIB, MIB

#: compute capability -> generation (https://developer.nvidia.com/cuda-gpus)
_GENERATIONS = {
    "7.0": "Volta",
    "7.5": "Turing",
    "8.0": "Ampere",
    "8.6": "Ampere",
    "8.7": "Ampere",
    "8.9": "Ada Lovelace",
    "9.0": "Hopper",
    "10.0": "Blackwell",
    "10.3": "Blackwell",
    "12.0": "Blackwell",
    "12.1": "Blackwell",
}


def card_yaml(facts: DeviceFacts, known: GpuSpec | None, today: date) -> str:
    """The YAML text of a spec file; for a card the catalogue has, the line to add to its `memory.observed`."""
    total_mib = facts.total_bytes // MIB
    how = ", ".join(text for text in (facts.driver and f"driver {facts.driver}", facts.runtime, f"{today}") if text)
    observed = f"    - {{mib: {total_mib}, note: {_quoted(how)}, source: moesize probe --gpu-info}}"
    head = f"# {facts.name}, device {facts.index}: {facts.total_bytes} bytes, measured with torch {facts.torch}"
    if known is not None:
        difference = facts.total_bytes - known.memory_bytes
        lines = [
            f"# the catalogue has it as {known.id}: {difference / MIB:+.0f} MiB; to add under memory.observed:",
            observed,
        ]
        return "\n".join([head, *lines]) + "\n"
    lines = [
        head,
        f"id: {_identifier(facts)}",
        f"name: {_quoted(facts.name)}",
        f"vendor: {facts.vendor}",
        "category: datacenter  # or workstation, consumer, edge",
        f"architecture: {_GENERATIONS.get(facts.compute_capability or '', 'unknown')}",
        *([f"compute_capability: '{facts.compute_capability}'"] if facts.compute_capability else []),
        "memory:",
        f"  nominal_gb: {round(facts.total_bytes / GIB)}  # nearest GiB; the data sheet decides",
        f"  unified: {str(facts.integrated).lower()}",
        f"  usable_total_mib: {total_mib}",
        "  basis: measured",
        *([f"  smi_total_mib: {facts.smi_total_bytes // MIB}"] if facts.smi_total_bytes else []),
        "  observed:",
        observed,
        "tflops_dense: {}  # dense peak by format, from the data sheet",
        "formats: []",
    ]
    return "\n".join(lines) + "\n"


def _identifier(facts: DeviceFacts) -> str:
    words = [normalise(word) for word in facts.name.lower().split()]
    named = [word for word in words if word and word != facts.vendor]
    return "-".join([facts.vendor, *named])


def _quoted(text: str) -> str:
    return "'" + "".join(c if c.isprintable() else "?" for c in text).replace("'", "''") + "'"
