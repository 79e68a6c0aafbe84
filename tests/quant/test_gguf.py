"""GGUF: block sizes against the gguf package's, mixes against what llama.cpp's rules say of small models."""

import gguf
import pytest

from moesize.errors import InputError
from moesize.model import ggml
from moesize.model.loader import load_model
from moesize.model.spec import Attention, Cache, CacheKind, Kind, ModelSpec, Role, Split, Tensor
from moesize.quant.checkpoint import stored_scheme
from moesize.quant.gguf_types import Ggml, fitting
from moesize.quant.names import resolve_quant
from moesize.quant.sizes import checkpoint_bytes

TYPES = [name for name in ggml.BY_NAME if hasattr(gguf.GGMLQuantizationType, name.upper())]


@pytest.mark.parametrize("name", TYPES)
def test_blocks_are_the_packages(name):
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
    assert Ggml(name).nbytes(3, 4 * block) == 3 * 4 * size
    assert Ggml(name).bits == 8 * size / block


def test_all_of_llama_cpps_types_are_there():
    assert len(TYPES) >= 20


def model(
    layers=32, *, heads=32, kv_heads=8, experts=0, hidden=1024, intermediate=2048, tied=False, architecture="llama"
):
    index = tuple(range(layers))
    p = "model.layers.{layer}"
    tensors = [
        Tensor("model.embed_tokens.weight", (4096, hidden), Role.EMBEDDING, Kind.EMBEDDING),
        Tensor("lm_head.weight", (4096, hidden), Role.LM_HEAD, tied_to="model.embed_tokens.weight" if tied else None),
        Tensor(f"{p}.norm.weight", (hidden,), Role.NORM, Kind.VECTOR, index),
        Tensor(f"{p}.self_attn.q_proj.weight", (hidden, hidden), Role.ATTENTION, layers=index, split=Split.COLUMN),
        Tensor(f"{p}.self_attn.k_proj.weight", (256, hidden), Role.ATTENTION, layers=index, split=Split.COLUMN),
        Tensor(f"{p}.self_attn.v_proj.weight", (256, hidden), Role.ATTENTION, layers=index, split=Split.COLUMN),
        Tensor(f"{p}.self_attn.o_proj.weight", (hidden, hidden), Role.ATTENTION, layers=index, split=Split.ROW),
    ]
    role = Role.ROUTED_EXPERT if experts else Role.MLP
    names = [("mlp.experts.{expert}.up_proj" if experts else "mlp.up_proj", (intermediate, hidden), Split.COLUMN),
             ("mlp.experts.{expert}.down_proj" if experts else "mlp.down_proj", (hidden, intermediate), Split.ROW)]  # fmt: skip
    tensors += [
        Tensor(
            f"{p}.{name}.weight",
            shape,
            role,
            layers=index,
            split=split,
            experts=experts,
            active_experts=min(experts, 2),
        )
        for name, shape, split in names
    ]
    if experts:
        tensors.append(Tensor(f"{p}.mlp.gate.weight", (experts, hidden), Role.ROUTER, layers=index))
    return ModelSpec(
        name="small", source="test", architecture=architecture, num_layers=layers, hidden_size=hidden, vocab_size=4096,
        context_length=None, dtype="bfloat16", tensors=tuple(tensors),
        caches=(Cache(CacheKind.FULL, index, kv_heads, 128, 128),), attentions=(Attention(index, heads, 128, 128),),
    )  # fmt: skip


def types(spec, label):
    """Type -> layers for every tensor, under the last part of its name."""
    scheme = resolve_quant(label, spec)
    found = {}
    for tensor in spec.tensors:
        for part, fmt in scheme.parts(tensor):
            last = tensor.name.removesuffix(".weight").rsplit(".", 1)[-1]
            found.setdefault(last, {})[fmt.name if fmt else "left"] = part.layers
    return found


def test_q4_k_m_gives_more_bits_to_some_layers():
    found = types(model(32), "q4_k_m")
    # use_more_bits of 32 layers: 0-3, 28-31, and every third from 6 on.
    more = (0, 1, 2, 3, *range(6, 28, 3), 28, 29, 30, 31)
    assert found["down_proj"]["q6_k"] == found["v_proj"]["q6_k"] == more
    assert found["lm_head"] == {"q6_k": None}
    assert found["embed_tokens"] == {"q4_k": None}
    assert found["norm"] == {"left": tuple(range(32))}
    assert set(found["q_proj"]) == set(found["o_proj"]) == set(found["up_proj"]) == {"q4_k"}


def test_exactly_eight_experts_have_rules_of_their_own():
    eight, many = types(model(experts=8), "q4_k_m"), types(model(experts=64), "q4_k_m")
    assert set(eight["v_proj"]) == set(eight["k_proj"]) == {"q8_0"}
    assert set(eight["o_proj"]) == {"q5_k"}
    assert set(many["k_proj"]) == set(many["o_proj"]) == {"q4_k"}
    assert set(eight["gate"]) == {"left"}


def test_seventy_billion_layers_raise_values():
    assert set(types(model(80), "q3_k_s")["v_proj"]) == {"q5_k"}
    assert set(types(model(32), "q3_k_s")["v_proj"]) == {"q3_k"}


@pytest.mark.parametrize(
    ("label", "tensor", "expected"),
    [
        ("q2_k", "down_proj", {"q3_k"}),
        ("q2_k", "v_proj", {"q4_k"}),
        ("q2_k", "o_proj", {"q3_k"}),
        ("q3_k_m", "v_proj", {"q5_k", "q4_k"}),
        ("q3_k_l", "down_proj", {"q5_k"}),
        ("iq3_xs", "up_proj", {"iq3_s", "iq3_xxs"}),
        ("iq3_xs", "q_proj", {"iq3_xxs"}),
        ("iq2_xs", "down_proj", {"q2_k", "iq2_xs"}),
        ("iq2_m", "o_proj", {"iq3_s"}),
        ("iq1_s", "lm_head", {"q5_k"}),
        ("iq1_s", "embed_tokens", {"q2_k"}),
        ("iq4_xs", "down_proj", {"q5_k", "iq4_xs"}),
        ("iq4_xs-imatrix", "down_proj", {"iq4_xs"}),
        ("q4_0", "down_proj", {"q4_0"}),
        ("q4_0-imatrix", "down_proj", {"q4_1", "q4_0"}),
        ("q8_0", "lm_head", {"q8_0"}),
        ("q4_k_l", "lm_head", {"q8_0"}),
        ("q4_k_l", "embed_tokens", {"q8_0"}),
        ("tq1_0", "embed_tokens", {"q4_k"}),
        ("mxfp4_moe", "up_proj", {"q8_0"}),
        ("gguf-f16", "up_proj", {"float16"}),
    ],
)
def test_labels_are_mixes(label, tensor, expected):
    assert set(types(model(), label)[tensor]) == expected


def test_mxfp4_moe_is_for_experts():
    found = types(model(experts=32), "mxfp4_moe")
    assert set(found["up_proj"]) == {"mxfp4"}
    assert set(found["q_proj"]) == {"q8_0"}


def test_a_tied_embedding_is_stored_once_in_the_heads_type():
    spec = model(tied=True)
    found = types(spec, "q4_k_m")
    assert set(found["embed_tokens"]) == {"q6_k"}
    head = next(t for t in spec.tensors if t.role is Role.LM_HEAD)
    assert resolve_quant("q4_k_m", spec).tensor_bytes(head) == 0


@pytest.mark.parametrize(
    ("wanted", "columns", "stored"),
    [("q4_k", 1408, "q5_0"), ("q5_k", 1408, "q5_1"), ("q6_k", 1408, "q8_0"), ("q2_k", 2880, "q4_0"), ("iq3_s", 1408, "iq4_nl"),
     ("q4_k", 2048, "q4_k"), ("q8_0", 40, "float16"), ("q4_k", 40, "float16")],
)  # fmt: skip
def test_rows_that_are_no_whole_blocks_fall_back(wanted, columns, stored):
    assert fitting(wanted, columns) == stored


def test_towers_and_drafts_are_not_in_the_file():
    spec = load_model("qwen3-vl-30b-a3b", offline=True)
    scheme = resolve_quant("q8_0", spec)
    assert all(scheme.tensor_bytes(t) == 0 for t in spec.tensors if t.role is Role.VISION)
    drafts = load_model("deepseek-v3", offline=True)
    scheme = resolve_quant("q8_0", drafts)
    assert all(scheme.tensor_bytes(t) == 0 for t in drafts.tensors if not t.loaded)
    # The file of 671,026,419,200 elements: kv_b is split in two, router and norms stay in 32 bits.
    assert checkpoint_bytes(drafts, scheme) == pytest.approx(713.3e9, rel=1e-3)


def test_a_files_own_types_are_kept():
    tensors = (
        Tensor("blk.{layer}.attn_q.weight", (64, 512), Role.ATTENTION, layers=(0, 1), dtype="q6_k"),
        Tensor("blk.{layer}.attn_k_b.weight", (8, 512, 128), Role.ATTENTION, Kind.PARAMETER, (0,), dtype="q8_0"),
        Tensor("output_norm.weight", (512,), Role.NORM, Kind.VECTOR, dtype="float32"),
    )
    spec = ModelSpec(
        name="file", source="model.gguf", architecture="llama", num_layers=2, hidden_size=512, vocab_size=64,
        context_length=None, dtype="float16", tensors=tensors,
        quantization_config={"quant_method": "gguf", "file_type": "q6_k"},
    )  # fmt: skip
    scheme = stored_scheme(spec)
    assert scheme.name == "q6_k"
    assert checkpoint_bytes(spec, scheme) == 2 * 64 * 2 * 210 + 8 * 512 * 4 * 34 + 512 * 4
    assert resolve_quant("Q6_K", spec).from_checkpoint
    with pytest.raises(InputError, match="size q4_k_m on the model it was made from"):
        resolve_quant("q4_k_m", spec)
