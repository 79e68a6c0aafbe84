"""Instances hold GPUs the catalogue knows, at dated prices, and the user's own prices replace them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesize.errors import InputError, MoesizeError, UnknownNameError
from moesize.hardware.gpu import list_gpus, load_gpu
from moesize.hardware.instances import (
    cheapest,
    find_instances,
    list_instances,
    load_instance,
    priced_by,
    read_prices,
    resolve_hardware,
)


def test_every_instance_holds_known_gpus_and_says_where_its_price_is_from() -> None:
    instances = list_instances()
    assert len(instances) > 150
    assert len({i.name for i in instances}) == len(instances)
    known = set(list_gpus())
    for found in instances:
        assert found.gpu_id in known, found.name
        assert 1 <= found.gpu_count <= 16
        assert 0 < found.gpu_fraction <= 1
        assert found.spec_source.startswith("https://")
        if found.usd_per_hour is None:
            assert found.price_source is None
            continue
        assert found.price_source is not None
        assert found.price_source.startswith("https://")
        assert found.price_date is not None
        assert found.price_date.startswith("2026")
        per_gpu = found.usd_per_hour / found.gpu_count / float(found.gpu_fraction)
        assert 0.2 < per_gpu < 40, f"{found.name}: {per_gpu:.2f} USD per GPU and hour"


def test_more_gpus_of_one_family_do_not_cost_less() -> None:
    for family in ("g5.", "g6.", "g6e.", "p5.", "a2-highgpu", "a3-highgpu", "g2-standard"):
        rows = [i for i in list_instances() if i.name.startswith(family) and i.usd_per_hour]
        least = [
            min(i.usd_per_hour or 0 for i in rows if i.gpu_count == n) for n in sorted({i.gpu_count for i in rows})
        ]
        assert least
        assert least == sorted(least), family


@pytest.mark.parametrize(
    ("text", "gpu_id", "count"),
    [
        ("A10G", "nvidia-a10g", 1),
        ("2x A10G", "nvidia-a10g", 2),
        ("2×A10G", "nvidia-a10g", 2),
        ("8xH100", "nvidia-h100-sxm5-80gb", 8),
        ("H100:8", "nvidia-h100-sxm5-80gb", 8),
        ("H100 x 8", "nvidia-h100-sxm5-80gb", 8),
        ("4090:2", "nvidia-rtx-4090", 2),
        ("H100:1g.10gb", "nvidia-h100-sxm5-80gb:1g.10gb", 1),
        ("H100:1g.10gb:3", "nvidia-h100-sxm5-80gb:1g.10gb", 3),
        ("g5.12xlarge", "nvidia-a10g", 4),
        ("G5.12XLARGE", "nvidia-a10g", 4),
        ("2x g5.12xlarge", "nvidia-a10g", 8),
        ("ml.g5.12xlarge", "nvidia-a10g", 4),
        ("Standard_ND96isr_H100_v5", "nvidia-h100-sxm5-80gb", 8),
        ("a2-highgpu-4g", "nvidia-a100-sxm4-40gb", 4),
        ("BM.GPU.H100.8", "nvidia-h100-sxm5-80gb", 8),
        ("24GiB", f"{24 * 2**30}-bytes", 1),
        ("2x24GiB", f"{24 * 2**30}-bytes", 2),
        ("tpu-v6e", "google-tpu-v6e", 1),
    ],
)
def test_hardware_is_a_gpu_a_number_of_them_or_an_instance(text: str, gpu_id: str, count: int) -> None:
    gpu, number = resolve_hardware(text)
    assert (gpu.id, number) == (gpu_id, count)


def test_fractional_instances_give_a_share_of_the_memory() -> None:
    gpu, count = resolve_hardware("g6f.2xlarge")
    assert count == 1
    assert gpu.memory_bytes == load_gpu("L4").memory_bytes // 4


@pytest.mark.parametrize("text", ["0x H100", "H100:0", "99999999x H100", "1" * 5000 + "x H100"])
def test_impossible_numbers_are_named(text: str) -> None:
    with pytest.raises(InputError, match="the number of GPUs is"):
        resolve_hardware(text)


def test_unknown_hardware_says_the_nearest_of_its_kind() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown instance 'g5\.13xlarge'; did you mean .*g5\.12xlarge"):
        resolve_hardware("g5.13xlarge")
    with pytest.raises(UnknownNameError, match="unknown GPU 'rtx 4900'"):
        resolve_hardware("2x rtx 4900")
    with pytest.raises(UnknownNameError, match="unknown instance"):
        load_instance("A10G")


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.text(max_size=30), st.from_regex(r"[0-9]{0,4}[x:][A-Za-z0-9.]{0,8}[x:]?[0-9]{0,12}", fullmatch=True))
)
def test_any_text_is_hardware_or_a_clear_error(text: str) -> None:
    try:
        gpu, count = resolve_hardware(text)
    except MoesizeError:
        return
    assert gpu.memory_bytes > 0
    assert count >= 1


def test_cheapest_holds_enough_whole_gpus() -> None:
    best = cheapest("nvidia-a10g", 4)
    assert best is not None
    assert best.name == "g5.12xlarge"
    for count in (1, 2, 5, 8):
        best = cheapest("nvidia-l4", count)
        assert best is not None
        assert best.gpu_count >= count
        assert best.gpu_fraction == 1
        others = [
            i for i in find_instances("nvidia-l4") if i.gpu_count >= count and i.gpu_fraction == 1 and i.usd_per_hour
        ]
        assert best.usd_per_hour == min(i.usd_per_hour or 0 for i in others)
    assert cheapest("nvidia-a10g", 9) is None
    assert cheapest("apple-m1-8gb", 1) is None
    with pytest.raises(InputError):
        cheapest("nvidia-a10g", 0)


def test_own_prices_replace_list_prices(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("G5.48xlarge: 1.5\ng5.xlarge: 2\n")
    prices = read_prices(path)
    assert prices == {"g5.48xlarge": 1.5, "g5.xlarge": 2.0}
    best = cheapest("nvidia-a10g", 4, prices)
    assert best is not None
    assert (best.name, best.usd_per_hour, best.price_kind, best.price_date) == ("g5.48xlarge", 1.5, "your price", None)
    assert priced_by(load_instance("g5.2xlarge"), prices) == load_instance("g5.2xlarge")


def test_prices_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("instance,usd_per_hour\n\ng5.xlarge, 0.9\np5.48xlarge,40\n")
    assert read_prices(path) == {"g5.xlarge": 0.9, "p5.48xlarge": 40.0}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.yaml", "g5.xlarge: cheap\n", "the price of g5.xlarge is 'cheap'"),
        ("p.yaml", "g5.xlarge: -1\n", "the price of g5.xlarge is -1"),
        ("p.yaml", "g5.xlarge: .nan\n", "the price of g5.xlarge is nan"),
        ("p.yaml", "g5.xlarge: true\n", "the price of g5.xlarge is True"),
        ("p.yaml", "g5.xlarg: 1\n", "did you mean"),
        ("p.yaml", "{}\n", "holds no prices"),
        ("p.yaml", "- 1\n", "no mapping"),
        ("p.csv", "g5.xlarge,1,2\n", "line 1 has 3 columns"),
        ("p.csv", "g5.xlarge,x\n", "line 1: 'x' is no price"),
        ("p.csv", "", "holds no prices"),
    ],
)
def test_wrong_price_files_are_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(MoesizeError) as caught:
        read_prices(path)
    assert says in str(caught.value)


def test_a_missing_price_file_is_named(tmp_path: Path) -> None:
    for name in ("none.csv", "none.yaml"):
        with pytest.raises(InputError, match="cannot read"):
            read_prices(tmp_path / name)
