"""Names resolve to the right card, and to nothing else."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesize.errors import InputError, MoesizeError, UnknownNameError
from moesize.hardware.gpu import GpuSpec, fraction_of, list_gpus, load_gpu, resolve_gpu_id
from moesize.hardware.spec import pcie_bytes_per_second
from moesize.units import GIB, MIB


@pytest.mark.parametrize(
    ("name", "gpu_id"),
    [
        ("A10G", "nvidia-a10g"),
        ("NVIDIA A10G", "nvidia-a10g"),
        ("NVIDIA-A10G-SHARED", "nvidia-a10g"),
        ("A100-80GB", "nvidia-a100-sxm4-80gb"),
        ("a100-80", "nvidia-a100-sxm4-80gb"),
        ("A100-40GB", "nvidia-a100-sxm4-40gb"),
        ("NVIDIA-A100-SXM4-80GB", "nvidia-a100-sxm4-80gb"),
        ("NVIDIA A100 80GB PCIe", "nvidia-a100-pcie-80gb"),
        ("nvidia-tesla-a100", "nvidia-a100-sxm4-40gb"),
        ("nvidia-a100-80gb", "nvidia-a100-sxm4-80gb"),
        ("H100", "nvidia-h100-sxm5-80gb"),
        ("H100-80GB", "nvidia-h100-sxm5-80gb"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm5-80gb"),
        ("nvidia-h100-80gb", "nvidia-h100-sxm5-80gb"),
        ("nvidia-h100-mega-80gb", "nvidia-h100-sxm5-80gb"),
        ("NVIDIA H100 PCIe", "nvidia-h100-pcie-80gb"),
        ("H100NVL", "nvidia-h100-nvl"),
        ("nvidia-h200-141gb", "nvidia-h200-sxm"),
        ("l4", "nvidia-l4"),
        ("L40S", "nvidia-l40s"),
        ("nvidia-tesla-t4", "nvidia-t4"),
        ("Tesla T4", "nvidia-t4"),
        ("RTX 4090", "nvidia-rtx-4090"),
        ("4090", "nvidia-rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "nvidia-rtx-4090"),
        ("rtx6000ada", "nvidia-rtx-6000-ada"),
        ("A6000", "nvidia-rtx-a6000"),
        ("nvidia-rtx-pro-6000", "nvidia-rtx-pro-6000-blackwell-server"),
        ("AMD Instinct MI300X", "amd-mi300x"),
        ("tpu-v5-lite-podslice", "google-tpu-v5e"),
        ("m3-max-64gb", "apple-m3-max-64gb"),
        ("Apple M3 Max 64 GB", "apple-m3-max-64gb"),
    ],
)
def test_names_found_in_the_wild_resolve(name: str, gpu_id: str) -> None:
    assert resolve_gpu_id(name) == gpu_id
    assert load_gpu(name).id == gpu_id


@pytest.mark.parametrize(
    ("name", "some_of"),
    [
        ("A100", ("nvidia-a100-sxm4-40gb", "nvidia-a100-sxm4-80gb")),
        ("NVIDIA A100", ("nvidia-a100-sxm4-40gb", "nvidia-a100-sxm4-80gb")),
        ("V100", ("nvidia-v100-16gb", "nvidia-v100-32gb")),
        ("Tesla V100", ("nvidia-v100-16gb", "nvidia-v100-32gb")),
        ("RTX 6000", ("nvidia-quadro-rtx-6000", "nvidia-rtx-6000-ada")),
        ("M3 Max", ("apple-m3-max-36gb", "apple-m3-max-128gb")),
        ("A100:1g.10gb", ("nvidia-a100-sxm4-40gb:1g.10gb", "nvidia-a100-sxm4-80gb:1g.10gb")),
    ],
)
def test_names_of_several_cards_list_them(name: str, some_of: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="names several GPUs") as caught:
        load_gpu(name)
    assert all(option in str(caught.value) for option in some_of)


def test_headline_memory() -> None:
    a10g = load_gpu("A10G")
    assert a10g.memory_bytes == 22517 * MIB
    assert a10g.smi_memory_bytes == 23028 * MIB
    assert a10g.memory_low_bytes <= a10g.memory_bytes < 22.06 * GIB <= a10g.memory_high_bytes < 23 * GIB
    assert load_gpu("A100-80GB").memory_bytes / GIB == pytest.approx(79.15, abs=0.02)
    assert load_gpu("H100").memory_bytes / GIB == pytest.approx(79.1, abs=0.02)
    assert load_gpu("H100").bandwidth_bytes_per_second == 3350e9
    assert load_gpu("H100").tflops_dense["bf16"] == 989
    assert load_gpu("H100").peer_bytes_per_second == 450e9
    assert load_gpu("A10G").compute_capability == (8, 6)


@pytest.mark.parametrize("size", ["24GiB", " 24 gib", "24576MiB", 24 * GIB])
def test_a_plain_size_is_a_gpu_of_that_memory_and_of_no_known_speed(size: str | int) -> None:
    gpu = load_gpu(size)
    assert gpu.memory_bytes == gpu.memory_low_bytes == gpu.memory_high_bytes == 24 * GIB
    assert gpu.name == "24 GiB of memory"
    assert gpu.bandwidth_bytes_per_second is None
    assert not gpu.tflops_dense
    assert gpu.memory_basis == "given"


def test_decimal_sizes_are_decimal() -> None:
    assert load_gpu("24GB").memory_bytes == 24 * 10**9


@pytest.mark.parametrize("size", ["0GiB", 0, -1, "99999999999999999GiB", 2**70])
def test_impossible_sizes_are_named(size: str | int) -> None:
    with pytest.raises(InputError):
        load_gpu(size)


@pytest.mark.parametrize(
    "name", ["H100:1g.10gb", "H100 MIG 1g.10gb", "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", "h100-80gb-1g.10gb+me"]
)
def test_mig_slices_have_their_own_memory_and_their_share_of_the_rest(name: str) -> None:
    piece, whole = load_gpu(name), load_gpu("H100")
    assert piece.memory_bytes == 9984 * MIB
    assert piece.mig_profile == "1g.10gb"
    assert piece.id == "nvidia-h100-sxm5-80gb:1g.10gb"
    # an H100 reports 419.04 GB/s and 16 of its 132 multiprocessors for this slice
    assert piece.bandwidth_bytes_per_second == pytest.approx(419e9, rel=0.002)
    assert piece.tflops_dense["bf16"] == pytest.approx(whole.tflops_dense["bf16"] * 16 / 132, rel=1e-3)
    assert piece.peer_link is None
    assert load_gpu(piece.id) == piece


def test_slices_of_cards_that_cut_alike_need_no_form_factor() -> None:
    assert load_gpu("A100:3g.40gb").memory_bytes == 40448 * MIB
    assert load_gpu("A100-SXM4-40GB:1g.5gb").memory_bytes < 5 * GIB


@pytest.mark.parametrize(
    ("name", "says"),
    [("H100:9g.1gb", "its slices are 1g.10gb"), ("T4:1g.5gb", "none of its slices"), ("MIG-3g.40gb", "of which GPU")],
)
def test_impossible_slices_are_named(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_gpu(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [("rtx 4900", "rtx-4090"), ("h10", "h20"), ("A100-SXM4-81GB", "a100-sxm4-80gb"), ("mi301x", "mi300x")],
)
def test_unknown_names_say_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown GPU ") as caught:
        load_gpu(name)
    assert near in caught.value.near


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=40), st.from_regex(r"[A-Za-z0-9 :x.\-]{0,20}g\.[0-9]{1,3}gb", fullmatch=True), st.integers()
    )
)
def test_any_name_is_a_gpu_or_a_clear_error(name: str | int) -> None:
    try:
        gpu = load_gpu(name)
    except MoesizeError:
        return
    assert isinstance(gpu, GpuSpec)
    assert gpu.memory_bytes > 0


@pytest.mark.parametrize("gpu_id", ["nvidia-a10g", "apple-m2-ultra-192gb", "amd-mi355x", "google-tpu-v7x"])
@pytest.mark.parametrize(
    "spelling", [str.upper, str.title, lambda n: n.replace("-", " "), lambda n: n.replace("-", "_")]
)
def test_case_and_punctuation_do_not_matter(gpu_id: str, spelling) -> None:
    assert load_gpu(spelling(gpu_id)).id == gpu_id


def test_every_listed_id_loads_to_itself() -> None:
    ids = list_gpus()
    assert len(ids) >= 120
    assert [load_gpu(gpu_id).id for gpu_id in ids] == list(ids)


def test_a_share_of_a_gpu_has_its_share_of_everything() -> None:
    whole = load_gpu("L4")
    eighth = fraction_of(whole, Fraction(1, 8))
    assert eighth.memory_bytes == whole.memory_bytes // 8
    assert eighth.tflops_dense["bf16"] * 8 == pytest.approx(whole.tflops_dense["bf16"])
    assert fraction_of(whole, Fraction(1)) is whole
    with pytest.raises(InputError):
        fraction_of(whole, Fraction(2))


@pytest.mark.parametrize(
    ("generation", "lanes", "gb_per_s"),
    [(3, 16, 15.754), (4, 16, 31.508), (5, 16, 63.015), (6, 16, 121.0), (4, 8, 15.754)],
)
def test_pcie_rates_are_the_published_ones(generation: int, lanes: int, gb_per_s: float) -> None:
    # per direction, https://en.wikipedia.org/wiki/PCI_Express#Comparison_table
    assert pcie_bytes_per_second(generation, lanes) / 1e9 == pytest.approx(gb_per_s, rel=1e-3)


def test_there_is_no_odd_pcie() -> None:
    with pytest.raises(InputError, match="no PCIe"):
        pcie_bytes_per_second(9, 16)


def test_offload_link_is_the_slots() -> None:
    gpu = load_gpu("A10G")
    assert gpu.host_link == "PCIe 4.0 x16"
    assert gpu.host_bytes_per_second == pytest.approx(31.5e9, rel=1e-3)
    assert load_gpu("GH200-96GB").host_bytes_per_second == 450e9
