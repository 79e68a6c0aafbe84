"""The CUDA device against torch's own `torch.cuda`: every call binds to the real signature, every attribute is documented."""

import ast
import importlib
import inspect
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch
import yaml

import moesize
from moesize.errors import InputError
from moesize.hardware.gpu import load_gpu
from moesize.hardware.spec_file import parse_gpu
from moesize.probe import cuda
from moesize.probe.card_file import card_yaml
from moesize.probe.cpu import Cpu
from moesize.probe.device import Device, DeviceFacts
from moesize.probe.plan import card_of, catalogued, known_card
from moesize.units import MIB

SOURCE = ast.parse(Path(cuda.__file__).read_text(encoding="utf-8"))
H100 = DeviceFacts(
    kind="cuda", index=0, name="NVIDIA H100 80GB HBM3", vendor="nvidia", total_bytes=80998 * MIB, free_bytes=80000 * MIB,
    driver="570.86.10", runtime="CUDA 12.8", torch="2.13.0", compute_capability="9.0", smi_total_bytes=81559 * MIB,
)  # fmt: skip


def _dotted(node: ast.expr) -> str:
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else getattr(node, "id", "")


CALLS = [node for node in ast.walk(SOURCE) if isinstance(node, ast.Call) and _dotted(node.func).startswith("torch.")]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{_dotted(call.func)}-{call.lineno}")
def test_every_call_binds_to_torchs_signature(call: ast.Call) -> None:
    module, _, name = _dotted(call.func).rpartition(".")
    function = getattr(importlib.import_module(module), name)
    if inspect.isbuiltin(function):  # torch.empty has no signature to inspect: its documentation lists the parameters
        assert all(keyword.arg in function.__doc__ for keyword in call.keywords)
        return
    inspect.signature(function).bind(*call.args, **{k.arg: k.value for k in call.keywords})


def test_the_calls_are_those_that_matter() -> None:
    called = {_dotted(call.func) for call in CALLS}
    assert {"torch.cuda.mem_get_info", "torch.cuda.memory_reserved", "torch.cuda.empty_cache"} <= called
    assert {"torch.cuda.max_memory_allocated", "torch.cuda.reset_peak_memory_stats"} <= called


def test_what_is_read_is_documented() -> None:
    stats = torch.cuda.memory_stats.__doc__
    key, pool, when = cuda.REQUESTED.split(".")
    assert f"{key}.{{all,large_pool,small_pool}}.{{current,peak,allocated,freed}}" in stats.replace('"', "") or (
        key in stats and pool in stats and when in stats
    )
    stub = (Path(torch.__file__).parent / "_C" / "__init__.pyi").read_text(encoding="utf-8")
    properties = stub[stub.index("class _CudaDeviceProperties") :][:1500]
    for name in ("name", "major", "minor", "is_integrated", "uuid"):
        assert f"{name}:" in properties
    assert issubclass(torch.cuda.OutOfMemoryError, RuntimeError)
    assert hasattr(torch.version, "hip")


def test_both_devices_have_every_method_of_the_protocol() -> None:
    wanted = {name for name in vars(Device) if not name.startswith("_")}
    for made in (Cpu, cuda.Cuda):
        for name in wanted - {"facts"}:
            ours, theirs = inspect.signature(getattr(made, name)), inspect.signature(getattr(Device, name))
            assert list(ours.parameters) == list(theirs.parameters), name


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_cuda_it_says_so_and_offers_the_cpu() -> None:
    with pytest.raises(InputError, match="--device cpu"):
        cuda.Cuda(0)
    assert cuda.device_count() == 0


def test_a_wrong_index_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="no device 2; this machine shows devices 0 to 1"):
        cuda.require(2)
    cuda.require(1)


def test_a_driver_torch_cannot_use_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(InputError, match=r"driver on your system is too old \(found version 11040\)\.; --device cpu"):
        cuda.require(0)


def test_only_three_modules_import_torch() -> None:
    root = Path(moesize.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
            )
            if isinstance(node, ast.Import | ast.ImportFrom) and any(n.split(".")[0] == "torch" for n in names):
                found.add(path.relative_to(root).as_posix())
    assert found == {"probe/cpu.py", "probe/cuda.py", "probe/stack.py"}


def test_the_driver_s_total_stands_in_the_catalogue_s_place() -> None:
    facts = replace(H100, total_bytes=81000 * MIB)
    assert card_of(facts).memory_bytes == 81000 * MIB
    assert card_of(facts).id == "nvidia-h100-sxm5-80gb"
    assert catalogued(facts).difference_bytes == 81000 * MIB - load_gpu("nvidia-h100-sxm5-80gb").memory_bytes
    unknown = replace(facts, name="NVIDIA Nobody 9999")
    assert known_card(unknown) is None
    assert card_of(unknown).memory_bytes == 81000 * MIB


def test_an_unknown_card_s_facts_are_a_spec_file(tmp_path: Path) -> None:
    facts = replace(H100, name="NVIDIA Nobody 9999 'Ti'")
    raw = yaml.safe_load(card_yaml(facts, None, date(2026, 1, 2)))
    spec = parse_gpu(tmp_path / f"{raw['id']}.yaml", raw, raw["id"])
    assert spec.memory_bytes == facts.total_bytes
    assert spec.memory_basis == "measured"
    assert spec.compute_capability == (9, 0)
    assert spec.smi_memory_bytes == 81559 * MIB


def test_a_known_card_s_facts_are_one_more_observation() -> None:
    text = card_yaml(H100, known_card(H100), date(2026, 1, 2))
    (observed,) = yaml.safe_load("\n".join(line for line in text.splitlines() if not line.startswith("#")))
    assert observed["mib"] == 80998
    assert "570.86.10" in observed["note"]
