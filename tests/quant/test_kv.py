import pytest

from moesize.errors import InputError, UnknownNameError
from moesize.quant.kv import check_kv, kv_format, list_kv_formats


def head(name, key=128, value=128, **options):
    return kv_format(name, dtype="bfloat16", **options).head_bytes(key, value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auto", 512), ("bfloat16", 512), ("fp8", 256), ("fp8_e5m2", 256), ("float32", 1024),
        ("int8_per_token_head", 256 + 8), ("int4_per_token_head", 128 + 8), ("nvfp4", 128 + 16),
        # TurboQuant: 128 + 68, 66 + 68, 50 + 68, 50 + 52 bytes.
        ("turboquant_k8v4", 196), ("turboquant_4bit_nc", 134), ("turboquant_k3v4_nc", 118), ("turboquant_3bit_nc", 102),
        # llama.cpp's blocks of 32 in bytes: 34, 24, 22, 20, 18.
        ("q8_0", 8 * 34), ("q5_1", 8 * 24), ("q5_0", 8 * 22), ("q4_1", 8 * 20), ("q4_0", 8 * 18), ("iq4_nl", 8 * 18),
        ("q8_0/q4_0", 4 * 34 + 4 * 18), ("exl2_q6", 2 * 128 * 13 // 16), ("exl3_5bit", 2 * 128 * 11 // 16),
        ("kivi_2bit", 2 * (32 + 16)), ("lmdeploy_int4", 2 * (64 + 4)),
    ],
)  # fmt: skip
def test_bytes_of_a_token_in_one_head(name, expected):
    assert head(name) == expected


def test_latent_layouts():
    assert head("fp8_ds_mla", 576, 0) == 656
    assert head("nvfp4_ds_mla", 576, 0) == 352
    assert head("fp8", 576, 0) == 576
    assert head("auto", 576, 0) == 1152


def test_measured_llama_cpp_caches():
    # https://github.com/ikawrakow/ik_llama.cpp/issues/92: 128 MiB of f16 cache are 68, 48, 44 and 36 MiB.
    assert [head(n) / head("float16") * 128 for n in ("q8_0", "q5_1", "q5_0", "iq4_nl")] == [68, 48, 44, 36]


def test_auto_is_what_the_checkpoint_asks_for():
    assert kv_format("auto", dtype="bfloat16", checkpoint="fp8", engine="vllm").name == "fp8"
    assert kv_format("auto", dtype="float16").name == "float16"
    # An engine without it keeps the model's dtype.
    assert kv_format("auto", dtype="bfloat16", checkpoint="fp8", engine="llama.cpp").name == "bfloat16"


def test_engines_have_names_of_their_own():
    assert kv_format("int8", dtype="bfloat16", engine="vllm").name == "int8_per_token_head"
    assert kv_format("int8", dtype="bfloat16", engine="tensorrt-llm").name == "int8"
    assert kv_format("fp8", dtype="bfloat16", engine="sglang").name == "fp8_e4m3"
    assert kv_format("q4", dtype="float16", engine="exllamav2").name == "exl2_q4"


@pytest.mark.parametrize(
    ("name", "engine"),
    [("q8_0", "vllm"), ("turboquant_k8v4", "sglang"), ("fp8", "llama.cpp"), ("nvfp4", "transformers")],
)
def test_engines_refuse_what_they_do_not_have(name, engine):
    with pytest.raises(InputError, match=f"{engine} has no"):
        kv_format(name, dtype="bfloat16", engine=engine)


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownNameError, match="fp8_e4m3"):
        kv_format("fp8_e4m4", dtype="bfloat16")


def test_gpus_and_flash_attention():
    fp8 = kv_format("fp8", dtype="bfloat16")
    assert check_kv(fp8, capability=9.0) is None
    assert "software" in check_kv(fp8, capability=8.0)
    with pytest.raises(InputError, match=r"needs compute capability 8, this GPU has 7\.5"):
        check_kv(fp8, capability=7.5)
    with pytest.raises(InputError, match="flash attention"):
        check_kv(kv_format("q8_0", dtype="float16"), flash_attention=False)
    # A quantised key alone does not need it.
    check_kv(kv_format("q8_0/float16", dtype="float16"), flash_attention=False)


def test_heads_are_whole_groups():
    with pytest.raises(InputError, match="80 elements is not"):
        kv_format("q8_0", dtype="float16").head_bytes(80, 80)


def test_every_format_is_smaller_than_its_name_allows():
    for fmt in list_kv_formats():
        assert fmt.engines
        assert 2 <= fmt.bits <= 32
