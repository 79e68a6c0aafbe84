"""Accelerators for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from moesize.hardware.gpu import GpuSpec
from moesize.report.figures import gib
from moesize.report.tables import plain_table

_RATES = ("bf16", "fp16", "fp8", "int8", "fp4")


def many(gpus: list[GpuSpec]) -> RenderableType:
    """One line each, smallest memory first."""
    table = plain_table("id", "GiB>", "sold as>", "GB/s>", "bf16>", "fp8>", "generation")
    for gpu in sorted(gpus, key=lambda g: (g.memory_bytes, g.id)):
        table.add_row(
            gpu.id,
            gib(gpu.memory_bytes),
            f"{gpu.nominal_gb:g} GB",
            f"{gpu.bandwidth_bytes_per_second / 1e9:,.0f}" if gpu.bandwidth_bytes_per_second else "–",
            _rate(gpu, "bf16"),
            _rate(gpu, "fp8"),
            gpu.architecture,
        )
    note = "GiB: what the driver lets a process see; bf16, fp8: dense peak TFLOP/s"
    return Group(table, Text(f"{len(gpus)} GPUs. {note}", style="dim"))


def one(gpu: GpuSpec) -> RenderableType:
    """All of one accelerator."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    seen = f"{gib(gpu.memory_low_bytes)}–{gib(gpu.memory_high_bytes)}"
    rows = [
        ("memory", f"{gib(gpu.memory_bytes)} GiB a process can use ({gpu.memory_basis}; seen {seen})"),
        ("nvidia-smi", f"{gib(gpu.smi_memory_bytes)} GiB" if gpu.smi_memory_bytes else "–"),
        ("sold as", f"{gpu.nominal_gb:g} GB"),
        ("bandwidth", f"{gpu.bandwidth_bytes_per_second / 1e9:,.0f} GB/s" if gpu.bandwidth_bytes_per_second else "–"),
        ("dense peak", ", ".join(f"{name} {_rate(gpu, name)}" for name in _RATES) + " TFLOP/s"),
        ("links", ", ".join(link for link in (gpu.host_link, gpu.peer_link) if link) or "–"),
        ("generation", gpu.architecture),
    ]
    for name, text in rows:
        table.add_row(Text(name, style="bold"), text)
    notes = [Text(f"note: {note}", style="dim") for note in gpu.notes]
    sources = [Text(f"{what}: {where}", style="dim") for what, where in gpu.sources.items()]
    return Group(Text(f"{gpu.name} ({gpu.id})", style="bold"), table, *notes, *sources)


def _rate(gpu: GpuSpec, name: str) -> str:
    rate = gpu.tflops_dense.get(name)
    return f"{rate:g}" if rate else "–"
