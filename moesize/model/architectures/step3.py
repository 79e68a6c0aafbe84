"""Step-3: multi-matrix factorised attention (low-rank queries, one key-value head), a mixture with a shared expert.

Names: vLLM `model_executor/models/step3_text.py` and `step3_vl.py`; checkpoint `stepfun-ai/step3` (experts stacked).
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._moe import enumerated_layers
from moesize.model.architectures._towers import as_vision, patches
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Split, Tensor

#: The released model's layers with experts: its first four and its last are dense.
USUAL_MIXTURES = range(4, 60)


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `step3_vl` or `step3_text` configuration."""
    nested = config.has("text_config")
    text = Fields({**config.values, **config.sub("text_config").values}, config.where) if nested else config
    text = _plural_positions(text)
    hidden, head_dim = text.count("hidden_size"), text.count("head_dim")
    layers = tuple(range(text.layer_count("num_hidden_layers")))
    heads = text.count("num_attention_heads")
    kv_heads = text.count("num_attention_groups")
    moe = _mixture_layers(text, len(layers))
    return blocks.assemble(
        text,
        family="step3",
        num_layers=len(layers),
        hidden_size=hidden,
        tensors=[
            *blocks.ends(text, hidden_size=hidden),
            *blocks.norm("model.layers.{layer}.input_layernorm", hidden, layers),
            *_attention(text, layers, hidden, heads, kv_heads, head_dim),
            *blocks.norm("model.layers.{layer}.post_attention_layernorm", hidden, layers),
            *blocks.glu_mlp(
                "model.layers.{layer}.mlp", tuple(i for i in layers if i not in moe),
                hidden_size=hidden, intermediate_size=text.count("intermediate_size"),
            ),
            *_mixture(text, moe, hidden),
            *(_tower(config.sub("vision_config"), hidden) if config.has("vision_config") else []),
        ],
        caches=blocks.kv_cache(layers, num_kv_heads=kv_heads, head_dim=head_dim),
        attentions=blocks.attention_products(layers, num_heads=heads, head_dim=head_dim),
        ropes=blocks.rope_of(text, head_dim),
        shared_experts=1 if moe else 0,
    )  # fmt: skip


def _mixture_layers(config: Fields, num_layers: int) -> tuple[int, ...]:
    """The layers `moe_layers_enum` names.

    Where a file leaves it out, vLLM 0.33's configuration class fills in `USUAL_MIXTURES` (`configs/step3_vl.py`); where
    it is null, its model makes all but the first a mixture (`models/step3_text.py`).
    """
    key = "moe_layers_enum"
    if config.has(key):
        return enumerated_layers(config, key, num_layers)
    default = range(1, num_layers) if key in config.values else USUAL_MIXTURES
    return tuple(i for i in default if i < num_layers)


def _plural_positions(config: Fields) -> Fields:
    """The longest position in the spelling that `blocks` reads; vLLM's `step3_text.py` reads the singular."""
    one, many = "max_position_embedding", "max_position_embeddings"
    if not config.has(one) or config.has(many):
        return config
    return Fields({**config.values, many: config.values[one]}, config.where)


def _attention(
    config: Fields, layers: tuple[int, ...], hidden: int, heads: int, kv_heads: int, head_dim: int
) -> list[Tensor]:
    """Queries go through a shared low rank (whole on every rank) before they are widened per head."""
    attn, shared = "model.layers.{layer}.self_attn", config.count("share_q_dim")
    role, query = Role.ATTENTION, blocks.heads(heads, head_dim)
    return [
        *blocks.linear(f"{attn}.q_proj", shared, hidden, role, layers),
        *blocks.linear(f"{attn}.k_proj", kv_heads * head_dim, hidden, role, layers),
        *blocks.linear(f"{attn}.v_proj", kv_heads * head_dim, hidden, role, layers),
        *blocks.norm(f"{attn}.inter_norm", shared, layers),
        *blocks.linear(f"{attn}.wq", heads * head_dim, shared, role, layers, split=Split.COLUMN, segments=query),
        *blocks.linear(f"{attn}.o_proj", hidden, heads * head_dim, role, layers, split=Split.ROW, segments=query),
    ]


def _mixture(config: Fields, layers: tuple[int, ...], hidden: int) -> list[Tensor]:
    moe = "model.layers.{layer}.moe"
    experts, per_token = config.expert_count("moe_num_experts"), config.expert_count("moe_top_k")
    width = config.count("moe_intermediate_size")
    matrices = (
        ("gate_proj", width, hidden, Split.COLUMN),
        ("up_proj", width, hidden, Split.COLUMN),
        ("down_proj", hidden, width, Split.ROW),
    )
    return [
        *blocks.router(f"{moe}.gate", experts, hidden, layers),
        *(
            blocks.expert_matrix(f"{moe}.{name}.weight", out, into, layers, experts, per_token, split)
            for name, out, into, split in matrices
        ),
        *blocks.glu_mlp(
            "model.layers.{layer}.share_expert", layers,
            hidden_size=hidden, intermediate_size=config.count("share_expert_dim"), role=Role.SHARED_EXPERT,
        ),
    ]  # fmt: skip


def _tower(config: Fields, text_hidden: int) -> list[Tensor]:
    """A ViT without outer norms, two convolutions that shrink its output, and a projection into the text's width."""
    width, inner = config.count("hidden_size"), config.count("intermediate_size")
    heads, out = config.count("num_attention_heads"), config.count("output_hidden_size")
    layers = tuple(range(config.layer_count("num_hidden_layers")))
    positions = (config.count("image_size") // config.count("patch_size")) ** 2 + 1
    base, role = "vision_model", Role.VISION
    block = f"{base}.transformer.layers.{{layer}}"
    return [
        blocks.vector(f"{base}.embeddings.class_embedding", width, role, None),
        *patches(f"{base}.embeddings.patch_embedding", config, bias=True),
        Tensor(f"{base}.embeddings.position_embedding.weight", (positions, width), role, Kind.EMBEDDING),
        *as_vision([
            *blocks.norm(f"{block}.layer_norm1", width, layers, bias=True),
            *blocks.gqa(
                f"{block}.self_attn", layers, hidden_size=width, num_heads=heads, num_kv_heads=heads,
                head_dim=width // heads, qkv_bias=True, out_bias=True, names=("q_proj", "k_proj", "v_proj", "out_proj"),
            ),
            *blocks.norm(f"{block}.layer_norm2", width, layers, bias=True),
            *blocks.plain_mlp(
                f"{block}.mlp", layers, hidden_size=width, intermediate_size=inner, bias=True, names=("fc1", "fc2"),
            ),
        ]),
        Tensor("vit_downsampler.weight", (out, width, 2, 2), role, Kind.CONV),
        blocks.vector("vit_downsampler.bias", out, role, None),
        Tensor("vit_downsampler2.weight", (2 * out, out, 3, 3), role, Kind.CONV),
        blocks.vector("vit_downsampler2.bias", 2 * out, role, None),
        *blocks.linear("vit_large_projector", text_hidden, 2 * out, role, None),
    ]  # fmt: skip
