"""Qwen3-Next and Qwen3.5/3.6/3.8: three layers of gated delta rule to one of gated attention; dense or mixtures.

Names: transformers `models/qwen3_next`, `models/qwen3_5`, `models/qwen3_5_moe`. The draft layer (`mtp.*`), which
transformers does not load, as vLLM's `models/qwen3_next_mtp.py` and `models/qwen3_5_mtp.py` read it.
"""

from moesize.model.architectures import _blocks as blocks
from moesize.model.architectures._delta import gated_delta, gated_delta_cache, gated_delta_of
from moesize.model.architectures._moe import every_nth, head_norms, known_types, mixture, not_loaded, where_layer
from moesize.model.architectures._qwen_vision import vision_rope, vision_tower
from moesize.model.architectures.qwen_moe import sparse_layers
from moesize.model.fields import Fields
from moesize.model.spec import ModelSpec, Role, Rope, Split, Tensor

FULL, LINEAR = "full_attention", "linear_attention"


def build(config: Fields) -> ModelSpec:
    """Tensors and caches of a `qwen3_next`, `qwen3_5` or `qwen3_5_moe` configuration (or of its text part)."""
    family = config.text("model_type")
    text = config.maybe_sub("text_config") or config
    vision = config.maybe_sub("vision_config") if text is not config else None
    prefix = "model.language_model." if text is not config else "model."
    hidden = text.count("hidden_size")
    num_layers = text.layer_count("num_hidden_layers")
    types = layer_types(text, num_layers)
    full, linear = where_layer(types, FULL), where_layer(types, LINEAR)
    dims = gated_delta_of(text)
    heads, kv_heads, head_dim = attention_dims(text)
    configured = text.dtype("mamba_ssm_dtype", default="float32") if text.has("mamba_ssm_dtype") else None
    return blocks.assemble(
        text,
        family=family,
        num_layers=num_layers,
        hidden_size=hidden,
        tensors=[
            *_ends(config, text, prefix, hidden),
            *decoder_layers(text, f"{prefix}layers.{{layer}}", full, linear),
            *gated_delta(
                f"{prefix}layers.{{layer}}.linear_attn", linear, dims,
                hidden_size=hidden, fused=family == "qwen3_next",
            ),
            *not_loaded(_draft(text, hidden)),
            *(vision_tower(vision) if vision else ()),
        ],
        caches=[
            *blocks.kv_cache(full, num_kv_heads=kv_heads, head_dim=head_dim),
            # transformers keeps the recurrence in float32; the configs of Qwen3.5 say so, that of Qwen3-Next is silent.
            *gated_delta_cache(linear, dims, dtype=configured or "float32", configured=configured),
        ],
        attentions=blocks.attention_products(full, num_heads=heads, head_dim=head_dim),
        ropes=(*rope(text, head_dim), *([vision_rope(vision)] if vision else [])),
        shared_experts=1 if text.has("num_experts") else 0,
    )  # fmt: skip


def layer_types(config: Fields, num_layers: int) -> tuple[str, ...]:
    """`layer_types`, or every `full_attention_interval`-th layer with full attention."""
    interval = config.count("full_attention_interval", default=4)
    types = config.layer_types(num_layers, every_nth(num_layers, interval, regular=LINEAR, nth=FULL))
    known_types(config, types, (FULL, LINEAR))
    return types


def attention_dims(config: Fields) -> tuple[int, int, int]:
    """Heads, KV heads and head dimension."""
    return config.count("num_attention_heads"), config.count("num_key_value_heads"), config.count("head_dim")


def decoder_layers(config: Fields, prefix: str, full: tuple[int, ...], linear: tuple[int, ...] = ()) -> list[Tensor]:
    """Norms, attention and MLPs of the layers `full` and `linear`; the linear attention itself is not here."""
    hidden = config.count("hidden_size")
    layers = tuple(sorted((*full, *linear)))
    sparse = sparse_layers(config, len(layers)) if config.has("num_experts") else ()
    dense = tuple(i for i in layers if i not in sparse)
    tensors = [
        *blocks.norm(f"{prefix}.input_layernorm", hidden, layers),
        *blocks.norm(f"{prefix}.post_attention_layernorm", hidden, layers),
        *gated_attention(config, f"{prefix}.self_attn", full),
    ]
    if sparse:
        tensors += _mixture(config, f"{prefix}.mlp", sparse)
    if dense:
        inner = config.count("intermediate_size")
        tensors += blocks.glu_mlp(f"{prefix}.mlp", dense, hidden_size=hidden, intermediate_size=inner)
    return tensors


def gated_attention(config: Fields, prefix: str, layers: tuple[int, ...]) -> list[Tensor]:
    """Attention whose query projection also gives a gate: two runs of `head_dim` per head."""
    hidden = config.count("hidden_size")
    heads, kv_heads, head_dim = attention_dims(config)
    bias = config.flag("attention_bias", default=False)
    _, *rest = blocks.gqa(
        prefix, layers,
        hidden_size=hidden, num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim, qkv_bias=bias, out_bias=bias,
    )  # fmt: skip
    rest = [tensor for tensor in rest if tensor.name != f"{prefix}.q_proj.bias"]
    return [
        *blocks.linear(
            f"{prefix}.q_proj", 2 * heads * head_dim, hidden, Role.ATTENTION, layers,
            split=Split.COLUMN, segments=blocks.heads(heads, 2 * head_dim), bias=bias,
        ),
        *rest,
        *head_norms(prefix, layers, head_dim),
    ]  # fmt: skip


def rope(config: Fields, head_dim: int) -> tuple[Rope, ...]:
    """The rotary table of a quarter of each head, unless `partial_rotary_factor` says otherwise."""
    parameters = config.maybe_sub("rope_parameters")
    source = parameters if parameters and parameters.has("partial_rotary_factor") else config
    return blocks.rope_of(config, int(head_dim * source.number("partial_rotary_factor", default=0.25)))


def _ends(config: Fields, text: Fields, prefix: str, hidden: int) -> list[Tensor]:
    # The outer configuration decides about tying in the multimodal classes.
    tied = config.flag("tie_word_embeddings", default=text.flag("tie_word_embeddings", default=False))
    table, vocab = f"{prefix}embed_tokens.weight", text.count("vocab_size")
    return [
        blocks.embedding(table, vocab, hidden),
        *blocks.norm(f"{prefix}norm", hidden, None),
        *blocks.lm_head("lm_head.weight", vocab, hidden, tied_to=table if tied else None),
    ]


def _mixture(config: Fields, prefix: str, layers: tuple[int, ...]) -> list[Tensor]:
    hidden = config.count("hidden_size")
    return [
        *mixture(
            prefix, layers,
            hidden_size=hidden, intermediate_size=config.count("moe_intermediate_size"),
            experts=config.expert_count("num_experts"), per_token=config.expert_count("num_experts_per_tok"),
            shared_intermediate_size=config.count("shared_expert_intermediate_size"), shared="shared_expert",
        ),
        # One row that weighs the shared expert's output: quantisers leave it alone as they do the router.
        *blocks.linear(f"{prefix}.shared_expert_gate", 1, hidden, Role.ROUTER, layers),
    ]  # fmt: skip


def _draft(config: Fields, hidden: int) -> list[Tensor]:
    """The draft layers: one full-attention layer over the joined hidden state and embedding, whose table is shared."""
    depth = config.count("mtp_num_hidden_layers", "num_nextn_predict_layers", default=1, minimum=0, maximum=1000)
    if not depth:
        return []
    return [
        *blocks.linear("mtp.fc", hidden, 2 * hidden, Role.OTHER, None),
        *blocks.norm("mtp.pre_fc_norm_embedding", hidden, None),
        *blocks.norm("mtp.pre_fc_norm_hidden", hidden, None),
        *blocks.norm("mtp.norm", hidden, None),
        *decoder_layers(config, "mtp.layers.{layer}", tuple(range(depth))),
    ]
