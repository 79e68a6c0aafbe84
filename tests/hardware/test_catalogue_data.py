"""Invariants of the data in gpu_specs/, file by file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from moesize.data import data_dir
from moesize.errors import InputError
from moesize.hardware import catalogue
from moesize.hardware.build_index import rendered
from moesize.hardware.gpu import load_gpu
from moesize.hardware.spec_file import FORMATS, parse_gpu, parse_slices

FOLDER = data_dir("gpu_specs")
FILES = sorted(FOLDER.glob("*.yaml"))


def read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


SPECS = {path.stem: read(path) for path in FILES}
by_file = pytest.mark.parametrize("stem", list(SPECS))


def ids_of(stem: str) -> list[str]:
    options = SPECS[stem]["memory"].get("options")
    return [option["id"] for option in options] if options else [stem]


def test_the_catalogue_is_as_broad_as_promised() -> None:
    assert len(SPECS) >= 80
    assert {"nvidia", "amd", "intel", "apple", "google", "aws"} == {spec["vendor"] for spec in SPECS.values()}


def test_the_index_is_fresh() -> None:
    assert (FOLDER / "index.json").read_text(encoding="utf-8") == rendered(FOLDER), (
        "run python -m moesize.hardware.build_index"
    )


@by_file
def test_figures_are_sourced_and_sources_are_addresses(stem: str) -> None:
    spec = SPECS[stem]
    figures = {f"tflops_dense.{dtype}" for dtype in spec["tflops_dense"]}
    figures |= {key for key in ("bandwidth_gb_per_s", "tdp_w") if key in spec}
    figures |= {f"interconnect.{key}" for key in spec.get("interconnect", {})}
    figures |= {f"memory.{key}" for key in ("nominal_gb", "smi_total_mib") if key in spec["memory"]}
    figures |= {"memory.options" if "options" in spec["memory"] else "memory.usable_total_mib"}
    sources = load_gpu(ids_of(stem)[0]).sources
    assert figures <= set(sources), f"without a source: {figures - set(sources)}"
    for source in sources.values():
        assert source.startswith(("https://", "derived: "))
    for entry in [*spec["memory"].get("observed", []), *spec["memory"].get("smi_variants", []), *spec.get("mig", [])]:
        assert entry["source"].startswith("https://")
    assert 2015 <= spec["year"] <= 2026


@by_file
def test_a_measured_total_is_one_that_was_observed(stem: str) -> None:
    memory = SPECS[stem]["memory"]
    if memory.get("basis") == "measured":
        assert memory["usable_total_mib"] in {entry["mib"] for entry in memory["observed"]}
    if memory.get("basis") == "derived":
        assert SPECS[stem]["derived"]["memory.usable_total_mib"]


@by_file
def test_memory_is_plausible(stem: str) -> None:
    for gpu_id in ids_of(stem):
        gpu = load_gpu(gpu_id)
        share = gpu.memory_bytes / (gpu.nominal_gb * 2**30)
        least = 0.65 if gpu.unified else 0.88
        assert least <= share <= 1.022, f"{gpu_id}: usable is {share:.3f} of the nominal GiB"
        if gpu.smi_memory_bytes is not None:
            assert gpu.memory_bytes <= gpu.smi_memory_bytes
            # the driver keeps at most 400 MiB and 0.8 % (rule R1), with a little room for newer drivers
            assert gpu.memory_bytes >= gpu.smi_memory_bytes * 0.992 - 450 * 2**20
        assert gpu.memory_low_bytes <= gpu.memory_bytes <= gpu.memory_high_bytes <= 1.03 * gpu.memory_bytes


@by_file
def test_rates_are_plausible(stem: str) -> None:
    gpu = load_gpu(ids_of(stem)[0])
    peaks = gpu.tflops_dense
    assert set(peaks) <= FORMATS
    if gpu.bandwidth_bytes_per_second is not None:
        assert 30e9 < gpu.bandwidth_bytes_per_second < 10e12
    assert all(0.5 < peak < 20_000 for peak in peaks.values())
    if gpu.vendor == "nvidia" and {"bf16", "fp16"} <= set(peaks):
        assert peaks["bf16"] == peaks["fp16"]
    # fp8 runs at twice the bf16 rate wherever tensor units double it; these accelerators' fp8 units do not
    same_rate = {"intel-gaudi3", "aws-inferentia2", "aws-trainium1"}
    if {"bf16", "fp8"} <= set(peaks):
        if stem in same_rate:
            assert peaks["fp8"] == peaks["bf16"]
        elif stem == "aws-trainium3":
            assert peaks["fp8"] == pytest.approx(3.75 * peaks["bf16"], rel=0.01)
        else:
            assert peaks["fp8"] == pytest.approx(2 * peaks["bf16"], rel=0.03)
    if {"fp8", "fp4"} <= set(peaks) and gpu.vendor != "aws":
        assert 1.9 < peaks["fp4"] / peaks["fp8"] < 4.2


@by_file
def test_formats_a_gpu_peaks_in_are_formats_it_has(stem: str) -> None:
    gpu = load_gpu(ids_of(stem)[0])
    fast = {dtype for dtype in gpu.tflops_dense if dtype not in {"fp32", "tf32"}}
    assert fast <= gpu.native_formats


@by_file
def test_mig_slices_are_smaller_than_their_card(stem: str) -> None:
    for piece in SPECS[stem].get("mig", []):
        gigabytes = int(piece["profile"].partition(".")[2].removesuffix("gb"))
        assert 0.85 * gigabytes * 1e9 <= piece["usable_total_mib"] * 2**20 <= 1.1 * gigabytes * 1e9
        whole = load_gpu(stem).memory_bytes
        assert piece["usable_total_mib"] * 2**20 <= whole * piece["memory_fraction"] * 1.01
        assert 0 < piece["sm_fraction"] <= 0.6


def test_names_collide_only_where_declared() -> None:
    owners: dict[str, set[str]] = {}
    for stem, spec in SPECS.items():
        for name in [stem, spec["name"], *spec.get("aliases", [])]:
            owners.setdefault(catalogue.normalise(name), set()).add(stem)
    assert {name: who for name, who in owners.items() if len(who) > 1} == {}
    for stem, spec in SPECS.items():
        for name in spec.get("shared_aliases", []):
            assert catalogue.normalise(name) not in owners, f"{name} of {stem} is also a name of one card"
            assert len([s for s in SPECS.values() if name in s.get("shared_aliases", [])]) > 1


def test_nothing_refers_outside_the_project() -> None:
    for path in FOLDER.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "FS:" not in text
        assert "../" not in text


BASE = """id: x
name: X
vendor: v
category: c
architecture: a
memory: {nominal_gb: 24, type: HBM, unified: false, usable_total_mib: 24000, basis: nominal}
tflops_dense: {bf16: 10}
formats: [bf16]
year: 2024
"""


def test_the_smallest_spec_is_enough() -> None:
    gpu = parse_gpu(Path("x.yaml"), yaml.safe_load(BASE), "x")
    assert gpu.memory_bytes == 24000 * 2**20
    assert gpu.host_link is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: X\n", "", "x.yaml: name is missing"),
        (
            "usable_total_mib: 24000",
            "usable_total_mib: lots",
            "x.yaml: memory: usable_total_mib is 'lots', expected a whole",
        ),
        ("usable_total_mib: 24000, ", "", "x.yaml: memory: usable_total_mib is missing"),
        ("basis: nominal", "basis: guessed", "x.yaml: memory: basis is 'guessed', expected measured or derived"),
        ("year: 2024", "yaer: 2024", "x.yaml: yaer is not a key"),
        ("bf16: 10", "bf16: -1", "x.yaml: tflops_dense: bf16 is -1, expected a number above 0"),
        ("bf16: 10", "bf17: 1", "x.yaml: tflops_dense: bf17 is not a key"),
        ("[bf16]", "[bf17]", "x.yaml: formats has bf17"),
        ("id: x", "id: y", "x.yaml: id is y"),
        ("year: 2024", "compute_capability: 'nine'", "compute_capability is not written like"),
        ("year: 2024", "interconnect: 7", "x.yaml: interconnect is 7, expected a mapping"),
        ("year: 2024", "mig: [1]", "x.yaml: mig is [1], expected mappings"),
        ("year: 2024", "mig: [{profil: 1g.5gb}]", "x.yaml: mig[0]: profil is not a key"),
    ],
)
def test_a_wrong_spec_names_file_and_key(old: str, new: str, says: str) -> None:
    assert old in BASE
    raw = yaml.safe_load(BASE.replace(old, new))
    with pytest.raises(InputError) as caught:
        (parse_slices if "mig" in new else lambda path, raw: parse_gpu(path, raw, "x"))(Path("x.yaml"), raw)
    assert says in str(caught.value)


@pytest.fixture
def other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(catalogue, "data_dir", lambda _kind: tmp_path)
    for cached in (catalogue._index, catalogue._scan_unindexed):
        cached.cache_clear()
        monkeypatch.setattr(catalogue, cached.__name__, cached)
    yield tmp_path
    catalogue._index.cache_clear()
    catalogue._scan_unindexed.cache_clear()


def test_a_file_the_index_does_not_know_is_found_by_scanning(other_folder: Path) -> None:
    (other_folder / "x.yaml").write_text(BASE + "aliases: [Xylophone 24]\n")
    assert load_gpu("xylophone-24").id == "x"
    assert catalogue.all_ids() == ("x",)


def test_a_damaged_index_costs_time_not_answers(other_folder: Path) -> None:
    (other_folder / "index.json").write_text("[{]")
    (other_folder / "x.yaml").write_text(BASE)
    assert load_gpu("X").memory_bytes == 24000 * 2**20


def test_undeclared_collisions_are_refused(other_folder: Path) -> None:
    (other_folder / "x.yaml").write_text(BASE + "aliases: [same]\n")
    (other_folder / "y.yaml").write_text(
        BASE.replace("id: x", "id: y").replace("name: X", "name: Y") + "aliases: [SAME]\n"
    )
    with pytest.raises(InputError, match=r"y\.yaml: the name same also belongs to x"):
        catalogue.build_index(other_folder)
