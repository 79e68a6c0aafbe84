"""One entry point for everything a model can be named by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import MixtralConfig, MixtralForCausalLM

from moesize.errors import InputError, MoesizeError, UnknownNameError
from moesize.model.loader import load_model
from moesize.model.spec import Role

CONFIG = {
    "model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_local_experts": 4, "num_experts_per_tok": 2, "vocab_size": 128,
    "max_position_embeddings": 512, "torch_dtype": "bfloat16", "architectures": ["MixtralForCausalLM"],
}  # fmt: skip


def config_file(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(CONFIG | changes))
    return path


def arrays(folder: Path) -> dict[str, torch.Tensor]:
    """What a checkpoint of CONFIG stores."""
    spec = load_model(config_file(folder))
    found = {}
    for tensor in spec.tensors:
        for layer in tensor.layers or (None,):
            for expert in range(tensor.experts) or (None,):
                name = tensor.name.replace("{layer}", str(layer)).replace("{expert}", str(expert))
                found[name] = torch.zeros(tensor.shape, dtype=torch.bfloat16)
    return found


def save(folder: Path, tensors: dict[str, torch.Tensor], shards: int = 1) -> None:
    names = sorted(tensors)
    weight_map = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors" if shards > 1 else "model.safetensors"
        part = names[i::shards]
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_config_is_called_after_its_folder(tmp_path: Path) -> None:
    spec = load_model(config_file(tmp_path / "My-Mixtral"))
    assert spec.name == "My-Mixtral"
    assert spec.experts.routed == 4
    assert load_model(str(tmp_path / "My-Mixtral" / "config.json")) == spec


def test_a_checkpoint_of_transformers_own_making_agrees_with_its_configuration(tmp_path: Path) -> None:
    model = MixtralForCausalLM(
        MixtralConfig(**{k: v for k, v in CONFIG.items() if k not in ("model_type", "architectures")})
    )
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    spec = load_model(tmp_path)
    assert spec.notes == ()
    assert spec.params.total == sum(p.numel() for p in model.parameters())
    assert spec.stored_bytes == 2 * spec.params.total


@pytest.mark.parametrize("shards", [1, 3])
def test_headers_that_agree_change_nothing_but_give_exact_bytes(tmp_path: Path, shards: int) -> None:
    tensors = arrays(tmp_path)
    save(tmp_path, tensors, shards)
    spec, plain = load_model(tmp_path), load_model(tmp_path / "config.json")
    assert spec.tensors == plain.tensors
    assert spec.notes == ()
    assert spec.stored_bytes == sum(t.numel() * 2 for t in tensors.values())


def test_another_wrapper_around_the_same_names_is_no_difference(tmp_path: Path) -> None:
    save(tmp_path, {f"language_model.{name}": tensor for name, tensor in arrays(tmp_path).items()})
    assert load_model(tmp_path).notes == ()


def test_what_is_stored_wins_over_the_configuration(tmp_path: Path) -> None:
    tensors = arrays(tmp_path)
    tensors["lm_head.weight"] = torch.zeros(130, 64, dtype=torch.bfloat16)
    tensors["model.layers.1.extra.weight"] = torch.zeros(3, 5, dtype=torch.bfloat16)
    del tensors["model.layers.0.input_layernorm.weight"]
    for name in list(tensors):
        if ".1.block_sparse_moe.experts.3." in name:
            del tensors[name]
    save(tmp_path, tensors)
    spec = load_model(tmp_path)
    assert spec.params.total == sum(t.numel() for t in tensors.values())
    assert next(t for t in spec.tensors if t.role is Role.LM_HEAD).shape == (130, 64)
    (note,) = spec.notes
    assert "1 of another shape (lm_head.weight [130, 64])" in note
    assert "4 missing" in note
    assert "1 more (layers.1.extra.weight)" in note


def test_experts_of_another_width_stay_experts(tmp_path: Path) -> None:
    tensors = arrays(tmp_path)
    for name, tensor in tensors.items():
        if ".0.block_sparse_moe.experts." in name:
            tensors[name] = torch.zeros(*(48 if n == 96 else n for n in tensor.shape), dtype=torch.bfloat16)
    save(tmp_path, tensors)
    spec = load_model(tmp_path)
    assert spec.params.total == sum(t.numel() for t in tensors.values())
    assert spec.experts.routed == 4
    assert spec.moe_layers == (0, 1)


def test_rotary_buffers_and_a_tied_head_stored_twice_are_no_difference(tmp_path: Path) -> None:
    tensors = arrays(tmp_path)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(8)
    config_file(tmp_path, tie_word_embeddings=True)
    save(tmp_path, tensors)
    spec = load_model(tmp_path)
    assert spec.notes == ()
    assert spec.params.total == sum(t.numel() for n, t in tensors.items() if "inv_freq" not in n) - 128 * 64


def packed_gptq(folder: Path) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, tensor in arrays(folder).items():
        if "layernorm" in name or "norm" in name or "embed" in name or "lm_head" in name or ".gate." in name:
            tensors[name] = tensor
            continue
        out, into = tensor.shape
        stem = name.removesuffix(".weight")
        tensors[f"{stem}.qweight"] = torch.zeros(into // 8, out, dtype=torch.int32)
        tensors[f"{stem}.qzeros"] = torch.zeros(into // 32, out // 8, dtype=torch.int32)
        tensors[f"{stem}.scales"] = torch.zeros(into // 32, out, dtype=torch.float16)
        tensors[f"{stem}.g_idx"] = torch.zeros(into, dtype=torch.int32)
    return tensors


def test_packed_weights_are_never_counted_as_parameters(tmp_path: Path) -> None:
    tensors = packed_gptq(tmp_path)
    config_file(tmp_path, quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 32})
    save(tmp_path, tensors)
    spec = load_model(tmp_path)
    assert spec.params.total == sum(t.numel() for t in arrays(tmp_path / "plain").values())
    assert spec.notes == ()
    assert spec.stored_bytes == sum(t.numel() * t.element_size() for t in tensors.values())
    assert spec.quantization_config == {"quant_method": "gptq", "bits": 4, "group_size": 32}


def test_a_quantised_matrix_that_is_missing_is_told(tmp_path: Path) -> None:
    tensors = packed_gptq(tmp_path)
    gone = "model.layers.1.self_attn.q_proj"
    save(tmp_path, {name: tensor for name, tensor in tensors.items() if not name.startswith(gone)})
    spec = load_model(tmp_path)
    assert "1 missing (layers.1.self_attn.q_proj.weight)" in spec.notes[0]


@pytest.mark.parametrize(
    "suffixes", [("weight_scale",), ("weight_scale", "weight_scale_2", "input_scale"), ("weight_scale_inv",)]
)
def test_fp8_and_nvfp4_scales_belong_to_their_weights(tmp_path: Path, suffixes: tuple[str, ...]) -> None:
    tensors = arrays(tmp_path)
    for name in [n for n in tensors if ".experts." in n]:
        half = tensors[name].shape[1] // (2 if len(suffixes) == 3 else 1)
        dtype = torch.uint8 if len(suffixes) == 3 else torch.float8_e4m3fn
        tensors[name] = torch.zeros(tensors[name].shape[0], half).to(dtype)
        tensors |= {name.replace("weight", suffix): torch.zeros(1) for suffix in suffixes}
    save(tmp_path, tensors)
    spec = load_model(tmp_path)
    assert spec.notes == ()
    assert spec.params == load_model(tmp_path / "config.json").params


def test_names_of_another_kind_leave_the_configuration_and_say_so(tmp_path: Path) -> None:
    tensors = {f"blocks.{i}": tensor for i, tensor in enumerate(arrays(tmp_path).values())}
    tensors["more"] = torch.zeros(7)
    save(tmp_path, tensors)
    spec = load_model(tmp_path)
    assert "have other names than mixtral gives them" in spec.notes[0]
    assert spec.params == load_model(tmp_path / "config.json").params


@pytest.mark.parametrize(
    ("name", "content", "method"),
    [
        ("hf_quant_config.json", {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "group_size": 16}}, "modelopt"),
        ("quantize_config.json", {"bits": 4, "group_size": 128, "desc_act": False}, "gptq"),
        ("quant_config.json", {"w_bit": 4, "q_group_size": 128, "version": "GEMM"}, "awq"),
    ],
)  # fmt: skip
def test_what_quantisers_leave_beside_the_configuration_is_read(
    tmp_path: Path, name: str, content: object, method: str
) -> None:
    config_file(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    found = load_model(tmp_path).quantization_config
    assert found is not None
    assert found["quant_method"] == method
    assert found.get("bits", 4) == 4


def test_a_folder_without_weights_says_that_sizes_are_the_configurations(tmp_path: Path) -> None:
    config_file(tmp_path)
    assert "sizes are those of its configuration" in load_model(tmp_path).notes[0]


def test_original_files_beside_the_converted_ones_are_not_counted_twice(tmp_path: Path) -> None:
    tensors = arrays(tmp_path)
    save(tmp_path, tensors)
    save_file(tensors, tmp_path / "consolidated.safetensors")
    assert load_model(tmp_path).stored_bytes == sum(t.numel() * 2 for t in tensors.values())


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    save(tmp_path, arrays(tmp_path), shards=3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-00002-of-00003\.safetensors is missing"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(InputError, match=r"parts of model-…-of-00003\.safetensors are missing"):
        load_model(tmp_path)


def test_a_part_cut_off_is_named(tmp_path: Path) -> None:
    save(tmp_path, arrays(tmp_path))
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(InputError, match=r"model\.safetensors is cut off or damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {"a": "../../x.safetensors"}}',
        '{"weight_map": {"a": 3}}',
        "[]",
        "{",
        "",
    ],
)
def test_a_wrong_index_is_one_sentence(tmp_path: Path, index: str) -> None:
    config_file(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=r"index\.json"):
        load_model(tmp_path)


def test_an_unknown_kind_names_itself_the_nearest_and_the_way_out(tmp_path: Path) -> None:
    path = config_file(tmp_path, model_type="mixtral_ultra")
    with pytest.raises(
        UnknownNameError, match=r"unknown model_type 'mixtral_ultra'; did you mean .*mixtral.*--as FAMILY"
    ):
        load_model(path)
    spec = load_model(path, family="mixtral")
    assert spec.architecture == "mixtral"
    assert "read as mixtral because you asked for it: its own model_type 'mixtral_ultra' is not known" in spec.notes
    with pytest.raises(UnknownNameError, match="unknown model_type 'mixtrl'"):
        load_model(path, family="mixtrl")


def test_a_family_is_refused_where_it_is_known() -> None:
    with pytest.raises(InputError, match="is of the family mixtral"):
        load_model("mixtral-8x7b", family="llama")


def test_a_spec_yaml_is_read_from_anywhere(tmp_path: Path) -> None:
    text = "name: own\ntitle: Own\nconfig_source: me\nas_of: 2026-01-01\nconfig: " + json.dumps(CONFIG)
    (tmp_path / "my-own.yaml").write_text(text)
    assert load_model(tmp_path / "my-own.yaml").name == "own"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "no model is named"),
        ("   ", "no model is named"),
        ("./nothing/config.json", "there is no file"),
        ("nothing.gguf", "there is no file"),
        ("~nobody-at-all/config.json", "neither a model's name nor a path"),
        ("a\x00b", "'a?b'"),
        ("/" + "x" * 5000, "neither a model's name nor a path"),
        ("a/b/c", "is no model on the Hub"),
        ("a/b@", "a/b is not cached"),
        ("../x/y", "there is no file"),
        ("x\ny", "unknown model 'x?y'"),
    ],
)
def test_what_is_no_reference_is_one_sentence(reference: str, message: str) -> None:
    with pytest.raises(MoesizeError) as caught:
        load_model(reference, offline=True)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("adapter_config.json", "LoRA adapter"),
        ("params.json", "original checkpoint"),
        ("model_index.json", "diffusion pipeline"),
    ],
)
def test_a_folder_of_something_else_says_what_it_is(tmp_path: Path, file: str, message: str) -> None:
    (tmp_path / file).write_text("{}")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is not valid JSON"),
        ('{"model_type": "mixtral", "model_type": "llama"}', "'model_type' stands twice"),
        ("[" * 100_000, "not valid JSON"),
        ('{"a": ' * 100_000, "not valid JSON"),
        ("[1]", "no JSON object"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"model_type": 3}', "model_type is 3"),
        ("{}", "model_type is missing"),
        ("\ufeff{}", "model_type is missing"),
        ('{"model_type": "mixtral", "quantization_config": 3}', "is missing"),
    ],
)
def test_a_broken_configuration_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(MoesizeError) as caught:
        load_model(tmp_path / "config.json")
    assert message in str(caught.value)


def test_a_configuration_beyond_all_sizes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b" " * (6 * 2**20))
    with pytest.raises(InputError, match="larger than 5 MiB"):
        load_model(tmp_path / "config.json")
    (tmp_path / "config.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InputError, match="not UTF-8"):
        load_model(tmp_path / "config.json")
