import pytest

from moesize.data import read_yaml
from moesize.errors import InputError
from moesize.model.loader import load_model
from moesize.quant import hardware
from moesize.quant.hardware import Level, gpu_support
from moesize.quant.names import list_quants, resolve_quant

SPEC = load_model("mixtral-8x7b", offline=True)
T4, V100, A100, A10G, L4, H100, B200 = 7.5, 7.0, 8.0, 8.6, 8.9, 9.0, 10.0


@pytest.mark.parametrize(
    ("quant", "capability", "level"),
    [
        ("bf16", T4, Level.UNSUPPORTED), ("bf16", A100, Level.NATIVE), ("fp16", V100, Level.NATIVE),
        ("fp8", V100, Level.UNSUPPORTED), ("fp8", T4, Level.WEIGHT_ONLY), ("fp8", A10G, Level.WEIGHT_ONLY),
        ("fp8", L4, Level.NATIVE), ("fp8-block", H100, Level.NATIVE), ("nvfp4", H100, Level.WEIGHT_ONLY),
        ("nvfp4", B200, Level.NATIVE), ("mxfp4", T4, Level.UNSUPPORTED), ("mxfp4", A10G, Level.WEIGHT_ONLY),
        ("int8", V100, Level.UNSUPPORTED), ("int8", T4, Level.NATIVE), ("awq", V100, Level.UNSUPPORTED),
        ("gptq", T4, Level.WEIGHT_ONLY), ("gptq", A10G, Level.NATIVE), ("w4a16", T4, Level.UNSUPPORTED),
        ("nf4", V100, Level.NATIVE), ("q4_k_m", V100, Level.NATIVE),
    ],
)  # fmt: skip
def test_generations(quant, capability, level):
    support = gpu_support(resolve_quant(quant, SPEC), capability)
    assert support.level is level
    assert bool(support.text) == (level is not Level.NATIVE)
    assert support.source.startswith("https://")


def test_engines_differ():
    fp8 = resolve_quant("fp8", SPEC)
    assert gpu_support(fp8, A100, engine="sglang").level is Level.UNSUPPORTED
    assert gpu_support(resolve_quant("bf16", SPEC), T4, engine="llama.cpp").level is Level.WEIGHT_ONLY


def test_a_refusal_says_what_instead():
    assert "use float16" in gpu_support(resolve_quant("bf16", SPEC), T4).text


@pytest.mark.parametrize("quant", [info.name for info in list_quants()])
def test_every_quantisation_has_a_rule(quant):
    assert gpu_support(resolve_quant(quant, SPEC), B200).level is Level.NATIVE


def test_every_rule_has_a_source_and_runs_no_later_than_it_is_native():
    kinds = read_yaml(hardware.Path(hardware.__file__).with_name("hardware.yaml"))["kinds"]
    for name, facts in kinds.items():
        assert facts["source"].startswith("https://"), name
        assert facts["runs"] <= facts["native"], name


def test_a_capability_is_a_number():
    with pytest.raises(InputError, match="compute capability"):
        gpu_support(resolve_quant("fp8", SPEC), 0)
