"""GPU names as files write them, against the catalogue."""

import pytest

from moesize.errors import UnknownNameError
from moesize.gate.document import Node
from moesize.gate.facts import Fact, GpuChoice, Source
from moesize.gate.gpus import named_gpu, pod_gpus
from moesize.gate.resolve import ResolvedGpu, resolve_gpus


def names(text: str, by: str = "gpu", memory: float | None = None, platform: str = "") -> set[str]:
    choice = named_gpu(Node(text, "f"), by, Fact(memory, Source.STATED) if memory else None)
    return {found.name for found in resolve_gpus(choice, platform)}


@pytest.mark.parametrize(
    ("label", "gpu"),
    [
        ("nvidia-tesla-a100", "nvidia-a100-sxm4-40gb"),
        ("nvidia-a100-80gb", "nvidia-a100-sxm4-80gb"),
        ("nvidia-l4", "nvidia-l4"),
        ("nvidia-h100-mega-80gb", "nvidia-h100-sxm5-80gb"),
        ("NVIDIA-H100-80GB-HBM3", "nvidia-h100-sxm5-80gb"),
        ("NVIDIA-A100-PCIE-40GB-SHARED", "nvidia-a100-pcie-40gb"),
        ("Tesla-T4", "nvidia-t4"),
        ("A10g", "nvidia-a10g"),
        ("MI300X", "amd-mi300x"),
        ("AMD_Instinct_MI300X_OAM", "amd-mi300x"),
        ("l4-24gb", "nvidia-l4"),
    ],
)
def test_names(label, gpu):
    assert names(label) == {gpu}


def test_an_open_memory_size_stays_open_until_something_says_it():
    assert {name[-4:] for name in names("a100")} == {"40gb", "80gb"}
    assert {name[-4:] for name in names("a100", memory=40.0)} == {"40gb"}
    assert {name[-4:] for name in names("A100-40G")} == {"40gb"}
    assert {name[-4:] for name in names("A100", platform="skypilot")} == {"40gb"}


def test_instances_bring_their_count():
    choice = named_gpu(Node("ml.g5.12xlarge", "f"), "instance")
    assert resolve_gpus(choice) == (ResolvedGpu("nvidia-a10g", 4),)


def test_mig_slices():
    choice = named_gpu(Node("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb", "f"))
    assert (choice.name.value, choice.mig, choice.memory_gib.value) == ("NVIDIA-H100-80GB-HBM3", "3g.40gb", 40.0)
    assert resolve_gpus(choice) == (ResolvedGpu("nvidia-h100-sxm5-80gb:3g.40gb"),)


def test_memory_only_and_unknown():
    assert resolve_gpus(GpuChoice(Fact("24GiB", Source.STATED), "memory")) == (ResolvedGpu("24GiB"),)
    for unknown in ("TYPE_GPU_USED", "rtx4070-8gb"):
        with pytest.raises(UnknownNameError):
            names(unknown)


@pytest.mark.parametrize("pool", ["gpu-h100-80gb-high-x8", "pool-a100-40gb", "big-l4-24gb-x2"])
def test_pool_names_only_hint(pool):
    choice = named_gpu(Node(pool, "f"), "pool")
    assert choice.name.source is Source.INFERRED
    assert resolve_gpus(choice)


def test_pools_that_name_no_gpu():
    assert named_gpu(Node("batch", "f"), "pool") is None
    assert pod_gpus(Node({}, "f")) == ()
