"""Llama 4: chunked attention with a full layer every fourth, mixtures in every or every second layer, a shared expert.

Names: transformers `models/llama4`, checkpoint `meta-llama/Llama-4-Scout-17B-16E`; vLLM `models/mllama4.py` divides the
vision tower, its patch embedding and the projector over ranks.
"""

from dataclasses import replace

from moesize.errors import InputError
from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures import _moe as moe
from moesize.model.architectures import _towers as towers
from moesize.model.architectures._gqa_moe import attention_heads
from moesize.model.fields import Fields
from moesize.model.spec import Cache, CacheKind, Kind, ModelSpec, Role, Split, Tensor


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `llama4` (with its tower) or `llama4_text` configuration."""
    nested = config.maybe_sub("text_config")
    if nested is None:
        return _decoder(config)
    text = _decoder(Fields({"dtype": config.values.get("dtype"), **nested.values}, nested.where))
    tower = _vision(config.sub("vision_config"))
    return replace(towers.wrapped(text, "llama4", [*tower, *_projector(config)]), source=config.where)


def _decoder(config: Fields) -> ModelSpec:
    moe.refuse(config, "attention_bias")
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = attention_heads(config, hidden)
    num_layers = config.layer_count("num_hidden_layers")
    sparse = _mixture_layers(config, num_layers)
    dense = tuple(i for i in range(num_layers) if i not in sparse)
    chunked, full = _chunked_layers(config, num_layers)
    chunk = config.maybe_count("attention_chunk_size")
    every = tuple(range(num_layers))
    layer = "model.layers.{layer}"
    products = {"num_heads": heads, "head_dim": head_dim}
    return blocks.assemble(
        config,
        family="llama4",
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *blocks.ends(config, hidden_size=hidden),
            *blocks.norm(f"{layer}.input_layernorm", hidden, every),
            *blocks.gqa(
                f"{layer}.self_attn", every,
                hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim,
            ),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, every),
            *(_dense(config, layer, hidden, dense) if dense else ()),
            *(_mixture(config, layer, hidden, sparse) if sparse else ()),
        ],
        caches=[
            *blocks.kv_cache(full, num_kv_heads=kv_heads, head_dim=head_dim),
            *([Cache(CacheKind.CHUNKED, chunked, kv_heads, head_dim, head_dim, chunk)] if chunked else ()),
        ],
        attentions=[
            *blocks.attention_products(full, **products),
            *blocks.attention_products(chunked, window_tokens=chunk, **products),
        ],
        ropes=blocks.rope_of(config, head_dim),
        shared_experts=1,
    )  # fmt: skip


def _mixture_layers(config: Fields, num_layers: int) -> tuple[int, ...]:
    step = config.count("interleave_moe_layer_step", default=1)
    return tuple(i for i in config.counts("moe_layers", default=range(step - 1, num_layers, step)) if i < num_layers)


def _chunked_layers(config: Fields, num_layers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Layers that see a chunk and layers that see everything: the latter are those without rotation."""
    step = config.count("no_rope_layer_interval", "nope_layer_interval", default=4)
    rotated = config.counts("no_rope_layers", default=()) or tuple(int((i + 1) % step != 0) for i in range(num_layers))
    default = ("chunked_attention" if flag else "full_attention" for flag in rotated)
    types = config.layer_types(num_layers, default)
    moe.known_types(config, types, ("chunked_attention", "full_attention"))
    if not config.has("attention_chunk_size"):
        return (), tuple(range(num_layers))
    return moe.where_layer(types, "chunked_attention"), moe.where_layer(types, "full_attention")


def _dense(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    width = config.count("intermediate_size_mlp")
    return blocks.glu_mlp(f"{layer}.feed_forward", layers, hidden_size=hidden_size, intermediate_size=width)


def _mixture(config: Fields, layer: str, hidden_size: int, layers: tuple[int, ...]) -> list[Tensor]:
    """Experts stored stacked and transposed, and one shared expert of the same width."""
    experts, per_token = config.expert_count("num_local_experts"), config.expert_count("num_experts_per_tok")
    width = config.count("intermediate_size")
    mlp = f"{layer}.feed_forward"
    up, down = f"{mlp}.experts.gate_up_proj", f"{mlp}.experts.down_proj"
    return [
        *blocks.router(f"{mlp}.router", experts, hidden_size, layers),
        blocks.expert_matrix(up, 2 * width, hidden_size, layers, experts, per_token, Split.COLUMN, transposed=True),
        blocks.expert_matrix(down, hidden_size, width, layers, experts, per_token, Split.ROW, transposed=True),
        *blocks.glu_mlp(
            f"{mlp}.shared_expert", layers, hidden_size=hidden_size, intermediate_size=width, role=Role.SHARED_EXPERT
        ),
    ]


def _vision(config: Fields, prefix: str = "vision_model") -> list[Tensor]:
    hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
    patch, inner = config.count("patch_size"), config.count("intermediate_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    layer = f"{prefix}.model.layers.{{layer}}"
    patches = (config.count("image_size") // patch) ** 2
    ratio = config.number("pixel_shuffle_ratio")
    if not 0 < ratio <= 1:
        raise InputError(f"{config.where}: pixel_shuffle_ratio is {ratio}, expected a part of 1")
    shuffled = int(hidden // ratio**2)
    middle, out = config.count("projector_input_dim"), config.count("projector_output_dim")
    column, row, role = Split.COLUMN, Split.ROW, Role.VISION
    adapter = f"{prefix}.vision_adapter.mlp"
    pixels = config.count("num_channels", default=3) * patch**2
    return [
        blocks.vector(f"{prefix}.class_embedding", hidden, role, None),
        Tensor(f"{prefix}.positional_embedding_vlm", (patches + 1, hidden), role, Kind.PARAMETER),
        *blocks.linear(f"{prefix}.patch_embedding.linear", hidden, pixels, role, None, split=column),
        *towers.as_vision([
            *blocks.norm(f"{prefix}.layernorm_pre", hidden, None, bias=True),
            *blocks.norm(f"{prefix}.layernorm_post", hidden, None, bias=True),
            *blocks.gqa(
                f"{layer}.self_attn", layers, hidden_size=hidden, num_heads=heads, num_kv_heads=heads,
                head_dim=hidden // heads, qkv_bias=True, out_bias=True,
            ),
            *blocks.plain_mlp(
                f"{layer}.mlp", layers, hidden_size=hidden, intermediate_size=inner, bias=True, names=("fc1", "fc2")
            ),
            *blocks.norm(f"{layer}.input_layernorm", hidden, layers, bias=True),
            *blocks.norm(f"{layer}.post_attention_layernorm", hidden, layers, bias=True),
        ]),
        *blocks.linear(f"{adapter}.fc1", middle, shuffled, role, None, split=column),
        *blocks.linear(f"{adapter}.fc2", out, middle, role, None, split=row),
    ]  # fmt: skip


def _projector(config: Fields) -> list[Tensor]:
    width_in, width = config.sub("vision_config").count("vision_output_dim"), config.sub("text_config")
    return blocks.linear(
        "multi_modal_projector.linear_1", width.count("hidden_size"), width_in, Role.VISION, None, split=Split.COLUMN
    )
